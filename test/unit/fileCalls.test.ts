import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../src/core/log.js";
import { systemClock } from "../../src/core/clock.js";
import type { Detacher } from "../../src/mount/driver/detacher.js";
import { createFileCalls } from "../../src/mount/driver/fileCalls.js";
import { createFileNodes } from "../../src/mount/driver/fileNodes.js";
import { MemoryFileSystem } from "../support/memoryFileSystem.js";

const READ_ONLY = "EROFS: read-only file system, mkdir '/proc/self/fd/20/a'";

/** Files that were opened and closed, over a detacher that fails, or whose rename is lost. */
async function harness(names: readonly string[], begin: Detacher["begin"]) {
  const files = new MemoryFileSystem();
  const nodes = createFileNodes({ nowMs: () => 0, attributesValidMs: 1000, maxRemembered: 2 });
  const tried: string[] = [];
  const calls = createFileCalls({
    fileSystem: files,
    nodes,
    clock: systemClock,
    log: silentLogger,
    openDeadlineMs: 1000,
    detacher: {
      begin(path, waitMs) {
        tried.push(path);
        return begin(path, waitMs);
      },
      isRenaming: () => false,
      renamingTo: () => undefined,
      hold: () => Promise.resolve(),
      allowRename: () => false,
      idle: () => Promise.resolve(),
    },
  });
  const { signal } = new AbortController();
  for (const name of names) {
    files.put(name, "content");
    calls.release(await calls.open(name, signal));
  }
  return { files, nodes, tried, round: () => calls.checkOpenFiles(signal) };
}

function failing(cause: string) {
  return (path: string): Promise<void> =>
    Promise.reject(new Error(`${path}: not detached`, { cause: new Error(cause) }));
}

test("nodes of files that are gone are dropped once the kernel has found nothing there", async () => {
  const { files, nodes, round } = await harness(["/a", "/b", "/c", "/d"], failing(READ_ONLY));
  files.files.delete("/a");
  files.files.delete("/c");
  await round();
  assert.deepEqual(
    ["/a", "/b", "/c", "/d"].map((path) => nodes.current(path) !== undefined),
    [false, true, false, true],
  );
});

test("a node is kept while its file is there, or while the kernel may have its pages", async () => {
  const there = await harness(["/a", "/b", "/c"], failing(READ_ONLY));
  await there.round();
  assert.equal(there.nodes.size, 3);
  const unknown = await harness(["/a", "/b", "/c"], failing("spawn /none/node ENOENT"));
  for (const name of ["/a", "/b", "/c"]) unknown.files.files.delete(name);
  await unknown.round();
  assert.equal(unknown.nodes.size, 3);
});

test("a round ends where nodes cannot be detached, also when nobody says so", async () => {
  const names = ["/a", "/b", "/c", "/d"];
  for (const begin of [failing("EBUSY"), () => Promise.resolve()]) {
    const { tried, round } = await harness(names, begin);
    await round();
    assert.ok(tried.length <= 100, `${tried.length} were tried`);
    assert.deepEqual([...new Set(tried)], names);
  }
});

/** Who only reads, or would like to cache, goes on with a store that cannot be written. */
import assert from "node:assert/strict";
import { chmod, chown, lchown, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError } from "../../src/core/errors.js";
import { STORE_FOLDERS } from "../../src/store/layout.js";
import { openToRead } from "../../src/store/openToRead.js";
import { cleanUp } from "../support/cleanUp.js";
import { createLineLog, isRoot, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const NOBODY = 65_534;

/** Runs work as a user who may write nothing here. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (!isRoot) return work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

/** Gives a store to the user that `asNobody` becomes, and lets him reach it. */
async function handOver(path: string): Promise<void> {
  await chmod(dirname(path), 0o755);
  if (!isRoot) return;
  for (const each of ["", ...(await readdir(path, { recursive: true }))])
    await lchown(join(path, each), NOBODY, NOBODY);
}

describe("STORE-4: a store opened to read", () => {
  it("is written where it can be", async (t) => {
    const path = await tempFolder(t);
    // To one that only reads, an empty folder is a store without blocks, and stays empty.
    const reader = await openToRead({
      path,
      clock: systemClock,
      log: createLineLog(),
      wish: "read",
    });
    await reader.close();
    assert.deepEqual(await readdir(path), []);
    for (const wish of ["cache", "read"] as const) {
      const store = await openToRead({ path, clock: systemClock, log: createLineLog(), wish });
      cleanUp(t, () => store.close());
      await store.blocks.keep([makeBlock(1)]);
    }
  });

  for (const [wish, said] of [
    ["read", /^debug the store is only read: .*permission is denied/],
    ["cache", /^warn nothing is cached in .*permission is denied/],
  ] as const) {
    it(`is only read, with one line, where it cannot be written: ${wish}`, async (t) => {
      const folder = await tempFolder(t);
      const path = join(folder, "store");
      const writer = await openTestStore(t, path);
      await writer.blocks.keep([makeBlock(1)]);
      await writer.close();
      await handOver(path);
      for (const each of [path, ...STORE_FOLDERS.map((name) => join(path, name))])
        await chmod(each, 0o555);
      cleanUp(t, async () => {
        await chmod(path, 0o755);
        for (const each of await readdir(path, { withFileTypes: true }))
          if (each.isDirectory()) await chmod(join(path, each.name), 0o755);
      });
      const log = createLineLog();
      await asNobody(async () => {
        const store = await openToRead({ path, clock: systemClock, log, wish });
        assert.ok(await store.blocks.read(makeBlock(1).hash));
        await store.blocks.cache(makeBlock(2));
        assert.equal(await store.blocks.find(makeBlock(2).hash), undefined);
        await store.close();
      });
      assert.equal(log.lines.length, 1, log.lines.join("\n"));
      assert.match(log.lines[0] ?? "", said);
    });
  }

  it("is made by one that caches, and not by one that reads", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const log = createLineLog();
    const reader = await openToRead({ path, clock: systemClock, log, wish: "read" });
    cleanUp(t, () => reader.close());
    assert.deepEqual(await readdir(folder), []);
    assert.match(log.lines[0] ?? "", /^info there is no store at /);
    const cacher = await openToRead({ path, clock: systemClock, log, wish: "cache" });
    cleanUp(t, () => cacher.close());
    assert.deepEqual(await readdir(folder), ["store"]);
  });

  it("need not be there where it cannot be made", async (t) => {
    const folder = await tempFolder(t);
    const inner = join(folder, "inner");
    await writeFile(join(folder, "keep"), "");
    await chmod(folder, 0o555);
    if (isRoot) await chown(folder, 0, 0);
    cleanUp(t, () => chmod(folder, 0o755));
    await asNobody(async () => {
      const log = createLineLog();
      const store = await openToRead({ path: inner, clock: systemClock, log, wish: "cache" });
      assert.equal(await store.blocks.read(makeBlock(1).hash), undefined);
      await store.close();
    });
  });

  it("is refused where it is none, or cannot be looked at", async (t) => {
    const path = await tempFolder(t);
    const refused = (error: unknown): boolean => isPsyncError(error, "ERR_PSYNC_STORE");
    await chmod(path, 0o000);
    cleanUp(t, () => chmod(path, 0o755));
    await asNobody(() =>
      assert.rejects(
        openToRead({ path, clock: systemClock, log: createLineLog(), wish: "read" }),
        refused,
      ),
    );
    await chmod(path, 0o755);
    await writeFile(join(path, "thesis.tex"), "");
    await assert.rejects(
      openToRead({ path, clock: systemClock, log: createLineLog(), wish: "read" }),
      refused,
    );
  });
});

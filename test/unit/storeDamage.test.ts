/** Bytes that turned wrong on the disk are never given out, and never lost either. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { isPsyncError } from "../../src/core/errors.js";
import { LIMITS } from "../../src/core/limits.js";
import { writeAll } from "../../src/store/writeFile.js";
import {
  createLineLog,
  flipBit,
  isRoot,
  makeBlock,
  openTestStore,
} from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const block = makeBlock(1, 10_000);

describe("VERIFY-2: a damaged block", () => {
  for (const [place, folder] of [
    ["kept", "blocks"],
    ["cached", "cache"],
  ] as const) {
    it(`that was ${place} is set aside, and the log names the sum that was seen`, async (t) => {
      const path = await tempFolder(t);
      const log = createLineLog();
      const store = await openTestStore(t, path, { log });
      await (place === "kept" ? store.blocks.keep([block]) : store.blocks.cache(block));
      await flipBit(join(path, folder, block.hash));
      assert.equal(await store.blocks.read(block.hash), undefined);
      assert.deepEqual(await readdir(join(path, folder)), []);
      const [aside = ""] = await readdir(join(path, "quarantine"));
      assert.ok(aside.startsWith(block.hash));
      assert.equal((await stat(join(path, "quarantine", aside))).size, 10_000);
      assert.ok(
        log.lines.some((line) => /^warn .*10000 bytes that hash to [0-9a-f]{64}/.test(line)),
      );
    });
  }

  it("in blocks/ does not hide a good one in cache/", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    await store.blocks.cache(block);
    await writeFile(join(path, "blocks", block.hash), "wrong");
    assert.ok(await store.blocks.read(block.hash));
    assert.equal((await store.blocks.find(block.hash))?.place, "cached");
  });

  const wrong: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
    "cut short": (path) => truncate(path, 9_999),
    empty: (path) => truncate(path, 0),
    "larger than a block can be": (path) => truncate(path, LIMITS.block.maxSizeBytes + 1),
    "a folder": async (path) => {
      await rm(path);
      await mkdir(path);
    },
    "a FIFO that nobody writes to": async (path) => {
      await rm(path);
      await promisify(execFile)("mkfifo", [path]);
    },
  };
  for (const [what, spoil] of Object.entries(wrong)) {
    it(`that is ${what} is set aside and can be kept again`, async (t) => {
      const path = await tempFolder(t);
      const store = await openTestStore(t, path);
      await store.blocks.keep([block]);
      await spoil(join(path, "blocks", block.hash));
      assert.equal(await store.blocks.read(block.hash), undefined);
      await store.blocks.keep([block]);
      await spoil(join(path, "blocks", block.hash));
      await store.blocks.keep([block]);
      assert.ok(await store.blocks.read(block.hash));
      assert.equal((await readdir(join(path, "quarantine"))).length, 2);
    });
  }

  it("that was kept is never away from its name while it is replaced", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    const file = join(path, "blocks", block.hash);
    for (let time = 0; time < 10; time += 1) {
      await writeFile(file, `wrong ${time}`);
      const state = { isOver: false, wasAway: false };
      const keeping = store.blocks.keep([block]).finally(() => {
        state.isOver = true;
      });
      while (!state.isOver) {
        state.wasAway ||= !existsSync(file);
        await new Promise(setImmediate);
      }
      await keeping;
      assert.equal(state.wasAway, false);
      assert.deepEqual(await readFile(file), Buffer.from(block.bytes));
      assert.equal((await readdir(join(path, "quarantine"))).length, time + 1);
    }
  });

  it("that is read while others replace it takes no good one away", async (t) => {
    const path = await tempFolder(t);
    const stores = [await openTestStore(t, path), await openTestStore(t, path)];
    for (let time = 0; time < 50; time += 1) {
      await writeFile(join(path, "blocks", block.hash), "wrong");
      const calls = stores.flatMap(({ blocks }) => [blocks.keep([block]), blocks.read(block.hash)]);
      await Promise.all<unknown>(calls);
      for (const store of stores)
        assert.equal((await store.blocks.find(block.hash))?.place, "kept");
    }
    for (const name of await readdir(join(path, "quarantine"))) {
      assert.equal(await readFile(join(path, "quarantine", name), "utf8"), "wrong");
    }
  });

  it("is left where it is by a store that is open for reading only", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    await store.blocks.keep([block, makeBlock(2)]);
    await store.close();
    await flipBit(join(path, "blocks", block.hash));
    const before = await readdir(path, { recursive: true });
    const reader = await openTestStore(t, path, { readOnly: true });
    assert.equal(await reader.blocks.read(block.hash), undefined);
    assert.ok(await reader.blocks.read(makeBlock(2).hash));
    await reader.blocks.cache(block);
    for (const change of [reader.blocks.keep([block]), reader.blocks.pin(makeBlock(2).hash)]) {
      await assert.rejects(change, (error) => isPsyncError(error, "ERR_PSYNC_STORE"));
    }
    await reader.close();
    assert.deepEqual(await readdir(path, { recursive: true }), before);
  });

  it(
    "that cannot be read is an error when it was kept, and a miss when it was cached",
    { skip: isRoot ? false : "needs root, to become another user" },
    async (t) => {
      const path = await tempFolder(t);
      const log = createLineLog();
      const store = await openTestStore(t, path, { log });
      const cached = makeBlock(3);
      await store.blocks.keep([block]);
      await store.blocks.cache(cached);
      for (const folder of [path, join(path, "blocks"), join(path, "cache")]) {
        await chmod(folder, 0o755);
      }
      process.seteuid?.(65_534);
      try {
        await assert.rejects(
          store.blocks.read(block.hash),
          (error) => isPsyncError(error, "ERR_PSYNC_STORE") && error.hint !== undefined,
        );
        assert.equal(await store.blocks.read(cached.hash), undefined);
      } finally {
        process.seteuid?.(0);
      }
      assert.ok(
        log.lines.some((line) =>
          /^warn a cached block is taken as not there: cannot read /.test(line),
        ),
      );
    },
  );
});

it("a write that is taken in pieces is continued", async () => {
  const bytes = makeBlock(4, 1000).bytes;
  const taken = Buffer.alloc(1000);
  await writeAll(
    {
      write(source, offset, length, position) {
        const bytesWritten = Math.min(length, 7);
        taken.set(source.subarray(offset, offset + bytesWritten), position);
        return Promise.resolve({ bytesWritten });
      },
    },
    bytes,
  );
  assert.deepEqual(taken, Buffer.from(bytes));
});

it("a kept block is the plain file of its hash, for its user alone", async (t) => {
  const path = join(await tempFolder(t), "store");
  const store = await openTestStore(t, path);
  await store.blocks.keep([block]);
  const file = join(path, "blocks", block.hash);
  assert.deepEqual(await readFile(file), Buffer.from(block.bytes));
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
});

/** The cache stays in its quota, also when two processes fill it at once; kept blocks are never touched. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { LIMITS } from "../../src/core/limits.js";
import { diskUsage, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const WORKER = fileURLToPath(new URL("../support/storeWorker.js", import.meta.url));
const BLOCK_BYTES = 16_384;

describe("the cache quota", () => {
  it("STORE-3, KEEP-3: holds at every moment, and kept blocks stay, while two processes fill one store", async (t) => {
    const path = join(await tempFolder(t), "store");
    const quotaBytes = 20 * BLOCK_BYTES;
    const store = await openTestStore(t, path, { cacheQuotaBytes: quotaBytes });
    const kept = Array.from({ length: 10 }, (_, i) => makeBlock(5000 + i, BLOCK_BYTES));
    await store.blocks.keep(kept);

    const fills = [0, 50].map(async (first) => {
      const child = fork(WORKER, ["fill", path, String(first), "100", String(quotaBytes)]);
      const [code] = (await once(child, "exit")) as [number];
      return code;
    });
    const filled = new AbortController();
    let mostBytes = 0;
    const watching = (async () => {
      while (!filled.signal.aborted) {
        mostBytes = Math.max(mostBytes, await diskUsage(join(path, "cache")));
      }
    })();
    assert.deepEqual(await Promise.all(fills), [0, 0]);
    filled.abort();
    await watching;

    assert.ok(mostBytes > quotaBytes / 2, `the cache was filled: ${mostBytes}`);
    // What others evict while it is being written is uncounted until its use is: two blocks of each process.
    const inFlightBytes = 2 * LIMITS.store.cacheWritesAtOnce * BLOCK_BYTES;
    assert.ok(
      mostBytes <= quotaBytes + inFlightBytes,
      `${mostBytes} bytes at most, of ${quotaBytes}`,
    );
    // Counted by then, so that the next block makes room for all.
    await store.blocks.cache(makeBlock(9000, BLOCK_BYTES));
    assert.ok((await diskUsage(join(path, "cache"))) <= quotaBytes);
    for (const block of kept) assert.equal((await store.blocks.find(block.hash))?.place, "kept");
    assert.deepEqual(await readdir(join(path, "tmp")), []);
  });

  it("and every block survive a process that is killed while it writes", async (t) => {
    const path = join(await tempFolder(t), "store");
    const quotaBytes = 20 * BLOCK_BYTES;
    for (const first of [0, 100, 200]) {
      const child = fork(WORKER, ["fill", path, String(first), "100", String(quotaBytes)]);
      const exit = once(child, "exit");
      await until("the cache is being filled anew", async () => {
        const names = await readdir(join(path, "cache")).catch((): string[] => []);
        return names.includes(makeBlock(first + 30, BLOCK_BYTES).hash);
      });
      child.kill("SIGKILL");
      await exit;
      const store = await openTestStore(t, path, { cacheQuotaBytes: quotaBytes });
      assert.deepEqual(await readdir(join(path, "tmp")), []);
      for await (const hash of store.list("cached")) assert.ok(await store.blocks.read(hash));
      for (let i = 0; i < 5; i += 1) await store.blocks.cache(makeBlock(900 + i, BLOCK_BYTES));
      assert.ok((await diskUsage(join(path, "cache"))) <= quotaBytes);
      await store.close();
    }
  });

  it("of nothing caches nothing, and is no error", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path, { cacheQuotaBytes: 0 });
    await store.blocks.cache(makeBlock(1));
    assert.deepEqual(await readdir(join(path, "cache")), []);
  });

  it("is not given up for one block that is larger than all of it", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path, { cacheQuotaBytes: 10 * 4096 });
    const small = makeBlock(1, 4096);
    await store.blocks.cache(small);
    await store.blocks.cache(makeBlock(2, 11 * 4096));
    assert.deepEqual(await readdir(join(path, "cache")), [small.hash]);
  });

  it("is met again by what is written after it was lowered", async (t) => {
    const path = await tempFolder(t);
    const large = await openTestStore(t, path);
    for (let i = 0; i < 20; i += 1) await large.blocks.cache(makeBlock(i, 4096));
    await large.close();
    const small = await openTestStore(t, path, { cacheQuotaBytes: 10 * 4096 });
    await small.blocks.cache(makeBlock(30, 4096));
    assert.equal((await readdir(join(path, "cache"))).length, 9);
    assert.ok(await small.blocks.read(makeBlock(30, 4096).hash));
  });

  it("counts a file that somebody removed by hand until its turn comes", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path, { cacheQuotaBytes: 4 * 4096 });
    for (let i = 0; i < 4; i += 1) await store.blocks.cache(makeBlock(i, 4096));
    for (const name of await readdir(join(path, "cache"))) await rm(join(path, "cache", name));
    for (let i = 10; i < 14; i += 1) await store.blocks.cache(makeBlock(i, 4096));
    assert.ok((await readdir(join(path, "cache"))).length >= 3);
  });
});

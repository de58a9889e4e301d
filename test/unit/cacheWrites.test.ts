/** What is cached is not taken away while it is written or read, and the order of use outlives what it may. */
import assert from "node:assert/strict";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import Database from "better-sqlite3";
import type { Store } from "../../src/store/openStore.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { createManualClock } from "../support/manualClock.js";
import { diskUsage, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const BLOCK_BYTES = 4096;
const block = (number: number): VerifiedBlock => makeBlock(number, BLOCK_BYTES);
const blocks = (count: number): VerifiedBlock[] =>
  Array.from({ length: count }, (_, i) => block(i));

async function cachedNumbers(store: Store, count: number): Promise<number[]> {
  const found = await Promise.all(blocks(count).map(({ hash }) => store.blocks.find(hash)));
  return [...found.keys()].filter((number) => found[number] !== undefined);
}

function usesIn(path: string): Map<string, number> {
  const db = new Database(join(path, "index.db"), { readonly: true });
  try {
    const rows = db
      .prepare<[], { hash: string; use: number }>("SELECT hash, use FROM cached")
      .all();
    return new Map(rows.map(({ hash, use }) => [hash, use]));
  } finally {
    db.close();
  }
}

describe("STORE-7: the order of use", () => {
  it("outlives restarts and clocks that jump", async (t) => {
    const path = join(await tempFolder(t), "store");
    const realNow = Date.now;
    t.after(() => {
      Date.now = realNow;
    });
    const quota = { cacheQuotaBytes: 4 * BLOCK_BYTES };
    const first = await openTestStore(t, path, quota);
    for (const each of blocks(4)) await first.blocks.cache(each);
    await first.close();
    // A year back, as after a dead battery; then a century on. Each start has a clock of its own besides.
    for (const [jumpMs, used] of [
      [-3.2e10, 0],
      [3.2e12, 1],
    ] as const) {
      Date.now = () => realNow() + jumpMs;
      const again = await openTestStore(t, path, { ...quota, clock: createManualClock() });
      assert.ok(await again.blocks.read(block(used).hash));
      await again.close();
    }
    Date.now = realNow;
    const last = await openTestStore(t, path, quota);
    // Down to 90 %: of four blocks three are left, the new one included.
    await last.blocks.cache(block(4));
    assert.deepEqual(await cachedNumbers(last, 5), [0, 1, 4]);
  });

  it("is written in batches, not a row a read", async (t) => {
    const path = join(await tempFolder(t), "store");
    const clock = createManualClock();
    const store = await openTestStore(t, path, { clock });
    for (const each of blocks(50)) await store.blocks.cache(each);
    clock.advance(1000);
    // Behind that flush, which writes when its turn comes.
    await store.blocks.cache(block(100));
    const before = usesIn(path);
    for (let time = 0; time < 3; time += 1)
      for (const each of blocks(50)) assert.ok(await store.blocks.read(each.hash));
    assert.deepEqual(usesIn(path), before);
    await store.close();
    const after = usesIn(path);
    for (const { hash } of blocks(50))
      assert.ok((after.get(hash) ?? 0) > (before.get(hash) ?? Infinity), "each was noted");
    const inOrder = blocks(50).map(({ hash }) => after.get(hash) ?? 0);
    assert.deepEqual(
      inOrder,
      [...inOrder].sort((a, b) => a - b),
    );
  });
});

describe("STORE-3: eviction", () => {
  it("goes down to 90 % of the quota, and takes no kept block", async (t) => {
    const path = join(await tempFolder(t), "store");
    const store = await openTestStore(t, path, { cacheQuotaBytes: 20 * BLOCK_BYTES });
    const kept = Array.from({ length: 5 }, (_, i) => block(500 + i));
    await store.blocks.keep(kept);
    for (const each of blocks(20)) await store.blocks.cache(each);
    assert.equal((await readdir(join(path, "cache"))).length, 20);
    await store.blocks.cache(block(20));
    assert.equal((await readdir(join(path, "cache"))).length, 18);
    assert.equal(await diskUsage(join(path, "cache")), 18 * BLOCK_BYTES);
    for (const { hash } of kept) assert.equal((await store.blocks.find(hash))?.place, "kept");
  });

  it("takes a block that is being read, and its reader has all of it", async (t) => {
    const path = join(await tempFolder(t), "store");
    const store = await openTestStore(t, path, { cacheQuotaBytes: 4 * BLOCK_BYTES });
    const read = block(0);
    await store.blocks.cache(read);
    const file = await open(join(path, "cache", read.hash));
    t.after(() => file.close());
    const start = Buffer.alloc(100);
    await file.read(start, 0, 100, 0);
    for (let number = 1; number < 12; number += 1) await store.blocks.cache(block(number));
    assert.equal(await store.blocks.find(read.hash), undefined);
    assert.deepEqual(await file.readFile(), Buffer.from(read.bytes).subarray(0));
  });

  it("holds the quota while many blocks are handed in at once, and takes none that is being written", async (t) => {
    const path = join(await tempFolder(t), "store");
    for (const quotaBlocks of [1, 2, 3, 10]) {
      const quotaBytes = quotaBlocks * BLOCK_BYTES;
      const store = await openTestStore(t, path, { cacheQuotaBytes: quotaBytes });
      let mostBytes = 0;
      await Promise.all(
        // Each twice: a block that is handed in again while it waits is written once.
        [...blocks(60), ...blocks(60)].map(async (each) => {
          await store.blocks.cache(each);
          mostBytes = Math.max(mostBytes, await diskUsage(join(path, "cache")));
        }),
      );
      assert.ok(mostBytes <= quotaBytes, `${mostBytes} bytes at most, of ${quotaBytes}`);
      assert.ok((await readdir(join(path, "cache"))).length > 0);
      await store.close();
      // Every file has its row, and every row its file: du and the index say the same.
      assert.deepEqual(
        [...usesIn(path).keys()].sort(),
        (await readdir(join(path, "cache"))).sort(),
      );
    }
  });
});

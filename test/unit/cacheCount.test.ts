/** What lies in cache/ is counted, whatever other processes do between the steps of writing it. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { createBlockCacher } from "../../src/store/cacheBlocks.js";
import { createBlockFinder } from "../../src/store/findBlocks.js";
import { blockPath, storeLayout, type StoreLayout } from "../../src/store/layout.js";
import { StoreIndex } from "../../src/store/storeIndex.js";
import { openTempFiles } from "../../src/store/tempFiles.js";
import { cacheUsageBytes, uncountedBlocks } from "../support/storeCheck.js";
import { makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const BLOCK_BYTES = 4096;
const block = makeBlock(1, BLOCK_BYTES);

async function openIndex(t: TestContext, layout: StoreLayout): Promise<StoreIndex> {
  const index = await StoreIndex.open({
    layout,
    clock: systemClock,
    log: silentLogger,
    bootId: "this one",
    onIncomplete: () => undefined,
  });
  t.after(() => index.close());
  return index;
}

describe("STORE-3: a block that is cached again while its row goes", () => {
  it("is counted where the file was there before the row went", async (t) => {
    const path = join(await tempFolder(t), "store");
    const first = await openTestStore(t, path);
    const second = await openTestStore(t, path);
    await first.blocks.cache(block);
    // The row is to go with the next flush.
    assert.equal(await first.blocks.pin(block.hash), true);
    await rm(join(path, "blocks", block.hash));
    await second.blocks.cache(block);
    await first.close();
    assert.deepEqual(uncountedBlocks(path), []);
  });

  it("is counted where the row went before the file was there", async (t) => {
    const path = join(await tempFolder(t), "store");
    await (await openTestStore(t, path)).close();
    const layout = storeLayout(path);
    const [index, other] = [await openIndex(t, layout), await openIndex(t, layout)];
    const reserve = index.reserve.bind(index);
    index.reserve = async (...args) => {
      const reservation = await reserve(...args);
      index.reserve = reserve;
      other.noteGone([block.hash]);
      await other.flush();
      return reservation;
    };
    const cacher = createBlockCacher({
      layout,
      temp: await openTempFiles(layout.tmp, silentLogger),
      finder: createBlockFinder({
        layout,
        clock: systemClock,
        log: silentLogger,
        leavesBad: false,
      }),
      index,
      log: silentLogger,
      quotaBytes: 10 * BLOCK_BYTES,
      minFree: { bytes: 0 },
      signal: new AbortController().signal,
    });
    await cacher.cache(block);
    assert.equal(cacheUsageBytes(path), BLOCK_BYTES);
    assert.deepEqual(uncountedBlocks(path), []);
  });

  it("is counted where it was written between an eviction and the index hearing of it", async (t) => {
    const path = join(await tempFolder(t), "store");
    const store = await openTestStore(t, path);
    await store.blocks.cache(block);
    const index = await openIndex(t, storeLayout(path));
    const disk = { quotaBytes: 0, freeBytes: 1e12, totalBytes: 1e12, minFree: { bytes: 0 } };
    const victims = await index.chooseVictims(0, disk, new Set());
    assert.equal(victims.length, 1);
    await rm(blockPath(storeLayout(path), "cached", block.hash));
    const before = await openTestStore(t, path);
    await before.blocks.cache(block);
    await index.forget(victims);
    assert.deepEqual(uncountedBlocks(path), []);
  });
});

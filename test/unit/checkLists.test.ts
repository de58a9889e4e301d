/** Whether lists can be read: what is told of a block that is missing, damaged, or goes while it is looked at. */
import { strict as assert } from "node:assert";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { BlockStore } from "../../src/block/ports.js";
import { createListChecker } from "../../src/transfer/checkLists.js";
import { seededBytes } from "../support/blocks.js";
import { listOf } from "../support/lists.js";
import { flipBit, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const BLOCK_BYTES = 4096;
const { signal } = new AbortController();

/** A store with a list's one block in its cache, and what `check` says of it where something happens after it was found. */
async function fixture(t: TestContext) {
  const path = join(await tempFolder(t), "store");
  const store = await openTestStore(t, path);
  const { list, blocks } = await listOf(seededBytes("checked", BLOCK_BYTES), BLOCK_BYTES);
  const [block] = blocks.values();
  assert.ok(block);
  await store.blocks.cache(block);
  const file = (place: string): string => join(path, place, block.hash);
  const check = async (afterFound: () => Promise<unknown>) => {
    let happens: Promise<unknown> | undefined;
    const blocks: BlockStore = {
      ...store.blocks,
      find: async (hash) => {
        const found = await store.blocks.find(hash);
        await (happens ??= afterFound());
        return found;
      },
    };
    const judge = store.upkeep.judge.bind(store.upkeep);
    const checker = createListChecker({ store: blocks, judge, quick: false, signal });
    const { missingCount, damagedCount } = await checker.check(list);
    return { missingCount, damagedCount };
  };
  return { file, check };
}

describe("a check of lists", () => {
  it("CHECK-1: a block that is evicted while it is looked at is missing, not damaged", async (t) => {
    const { file, check } = await fixture(t);
    const seen = await check(() => rm(file("cache")));
    assert.deepEqual(seen, { missingCount: 1, damagedCount: 0 });
  });

  it("CHECK-1: a block that is pinned while it is looked at is here", async (t) => {
    const { file, check } = await fixture(t);
    const seen = await check(() => rename(file("cache"), file("blocks")));
    assert.deepEqual(seen, { missingCount: 0, damagedCount: 0 });
  });

  it("CHECK-1: a block whose file is bad is damaged", async (t) => {
    const { file, check } = await fixture(t);
    const seen = await check(() => flipBit(file("cache")));
    assert.deepEqual(seen, { missingCount: 0, damagedCount: 1 });
  });
});

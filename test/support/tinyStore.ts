/** A store in memory, just enough for the tests of the block server. */
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockPlace, BlockStore } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";

export interface TinyStore extends BlockStore {
  /** How often `read` was called. */
  readCount(): number;
  /** Runs before each read; a test can wait or throw in it. */
  beforeRead: () => Promise<void>;
}

export function createTinyStore(blocks: readonly VerifiedBlock[] = []): TinyStore {
  const held = new Map<BlockHash, { block: VerifiedBlock; place: BlockPlace }>();
  const put = (block: VerifiedBlock, place: BlockPlace): Promise<void> => {
    held.set(block.hash, { block, place });
    return Promise.resolve();
  };
  for (const block of blocks) void put(block, "kept");
  let readCount = 0;
  const store: TinyStore = {
    readCount: () => readCount,
    beforeRead: () => Promise.resolve(),
    find(hash) {
      const entry = held.get(hash);
      return Promise.resolve(entry && { place: entry.place, sizeBytes: entry.block.bytes.length });
    },
    async read(hash) {
      readCount += 1;
      await store.beforeRead();
      return held.get(hash)?.block;
    },
    async keep(some) {
      for (const block of some) await put(block, "kept");
    },
    pin(hash) {
      const entry = held.get(hash);
      if (entry) entry.place = "kept";
      return Promise.resolve(entry !== undefined);
    },
    sync: () => Promise.resolve(),
    claim: () => Promise.resolve(),
    cache: (block) => put(block, "cached"),
    close: () => Promise.resolve(),
  };
  return store;
}

/** Verified blocks in memory, least recently used first to go. It knows nothing of where they come from. */
import { LRUCache } from "lru-cache";
import type { BlockHash } from "../block/hash.js";
import type { BlockSource } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";

/**
 * A source that answers from memory what it has given before.
 *
 * @param options.maxBytes the sum of the blocks' lengths that is held
 */
export function withMemoryCache(
  source: BlockSource,
  options: { readonly maxBytes: number },
): BlockSource {
  const blocks = new LRUCache<BlockHash, VerifiedBlock>({
    maxSize: options.maxBytes,
    // lru-cache takes only sizes above 0.
    sizeCalculation: (block) => Math.max(1, block.bytes.length),
  });
  return {
    async fetch(request) {
      const held = blocks.get(request.hash);
      if (held) return held;
      const block = await source.fetch(request);
      blocks.set(request.hash, block);
      return block;
    },
  };
}

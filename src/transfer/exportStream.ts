/** Bytes → kept blocks and their names, in order, each name only once its block is durable. */
import { blockOf } from "../block/verify.js";
import type { BlockHash } from "../block/hash.js";
import type { BlockStore } from "../block/ports.js";
import { abortable } from "../core/abort.js";
import { LIMITS } from "../core/limits.js";
import { splitBlocks } from "../hashlist/splitBlocks.js";
import { createKeepQueue } from "./keepQueue.js";

export interface ExportedBlock {
  readonly hash: BlockHash;
  readonly sizeBytes: number;
}

/** What may wait for its sync while more is read: so many bytes, and not more blocks than four batches. */
const AHEAD_BYTES = 64 * 1024 * 1024;
const AHEAD_COUNT = 4 * LIMITS.store.keepBatchCount;

/**
 * Cuts bytes into blocks, keeps them in the store, and gives their names in order.
 *
 * @throws ERR_PSYNC_STORE a block could not be made durable; what was given before is
 * @throws what reading the bytes throws, or the signal's reason
 * Cost: at most 64 MiB of blocks, or two blocks, in memory. Source: docs/semantics.md, KEEP-1.
 */
export async function* exportStream(
  chunks: AsyncIterable<Uint8Array>,
  options: {
    readonly store: BlockStore;
    readonly blockSizeBytes: number;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<ExportedBlock> {
  const { store, blockSizeBytes, signal } = options;
  const keeper = createKeepQueue(store, LIMITS.store.keepBatchCount);
  const aheadCount = Math.max(1, Math.min(AHEAD_COUNT, Math.floor(AHEAD_BYTES / blockSizeBytes)));
  const pending: Promise<ExportedBlock>[] = [];
  try {
    for await (const bytes of splitBlocks(abortable(chunks, signal), blockSizeBytes)) {
      const block = blockOf(bytes);
      const exported = keeper
        .keep(block)
        .then(() => ({ hash: block.hash, sizeBytes: bytes.length }));
      exported.catch(() => undefined);
      pending.push(exported);
      const oldest = pending.length > aheadCount ? pending.shift() : undefined;
      if (oldest) yield await oldest;
    }
    for (let next = pending.shift(); next; next = pending.shift()) yield await next;
  } finally {
    // Nothing is written any more once this has ended, however it ended.
    await Promise.allSettled(pending);
  }
}

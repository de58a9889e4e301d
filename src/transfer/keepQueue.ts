/**
 * Blocks made durable in batches: whoever hands in a block waits for its batch, and a batch is
 * whatever was handed in while the one before was being synced.
 */
import type { BlockStore } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";

export interface KeepQueue {
  /** @throws ERR_PSYNC_STORE the block's batch could not be made durable */
  keep(block: VerifiedBlock): Promise<void>;
}

interface Waiting {
  readonly block: VerifiedBlock;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export function createKeepQueue(store: BlockStore, maxBatchCount: number): KeepQueue {
  const queue: Waiting[] = [];
  let running = false;

  const run = async (): Promise<void> => {
    running = true;
    while (queue.length > 0) {
      const batch = queue.splice(0, maxBatchCount);
      try {
        await store.keep(batch.map(({ block }) => block));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    running = false;
  };

  return {
    keep: (block) =>
      new Promise((resolve, reject) => {
        queue.push({ block, resolve, reject });
        if (!running) void run();
      }),
  };
}

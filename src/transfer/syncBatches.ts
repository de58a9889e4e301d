/**
 * Blocks that are kept already made durable in batches: a process that keeps one at the same time may have
 * renamed it and not synced it yet.
 */
import type { BlockHash } from "../block/hash.js";
import type { BlockStore } from "../block/ports.js";

export interface SyncBatches {
  /** Adds a block. Whoever fills a batch waits until it is durable. @throws ERR_PSYNC_STORE it cannot be */
  sync(hash: BlockHash): Promise<void>;
  /** Makes the rest durable. @throws ERR_PSYNC_STORE */
  end(): Promise<void>;
}

/** Cost: memory of a batch of hashes; a sync a block, which is next to nothing where it is durable already. */
export function createSyncBatches(store: BlockStore, batchCount: number): SyncBatches {
  let batch: BlockHash[] = [];
  const end = async (): Promise<void> => {
    const full = batch;
    batch = [];
    if (full.length > 0) await store.sync(full);
  };
  return {
    async sync(hash) {
      batch.push(hash);
      if (batch.length >= batchCount) await end();
    },
    end,
  };
}

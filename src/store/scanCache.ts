/**
 * Makes an index know what lies in cache/: after the index was lost, and once after each boot, since the
 * last transactions before a power cut may be missing. Runs behind the store while it is used.
 */
import { LIMITS } from "../core/limits.js";
import { diskBytes } from "./evictionPolicy.js";
import type { StoreLayout } from "./layout.js";
import { listBlocks, type ListedBlock } from "./listBlocks.js";
import type { StoreIndex } from "./storeIndex.js";

export interface ScanOptions {
  readonly layout: StoreLayout;
  readonly index: StoreIndex;
  readonly signal: AbortSignal;
}

/**
 * Adds every cached block that the index does not know, the least recently written as the oldest.
 *
 * @throws ERR_PSYNC_STORE the folder cannot be read; the signal's reason
 * Cost: a readdir, and a stat and about 150 bytes of memory a block; transactions of a few milliseconds.
 */
export async function scanCache({ layout, index, signal }: ScanOptions): Promise<void> {
  const found: ListedBlock[] = [];
  for await (const block of listBlocks(layout.cache)) {
    signal.throwIfAborted();
    found.push(block);
  }
  found.sort((a, b) => b.modifiedMs - a.modifiedMs);
  const batchCount = LIMITS.store.scanBatchCount;
  for (let i = 0; i < found.length; i += batchCount) {
    signal.throwIfAborted();
    const batch = found
      .slice(i, i + batchCount)
      .map(({ hash, sizeBytes }) => ({ hash, sizeBytes: diskBytes(sizeBytes) }));
    await index.addFound(batch, i + 1);
  }
  await index.markScanned();
}

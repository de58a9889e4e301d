/** What a store holds, counted from its files: true whatever the index says. */
import type { BlockPlace } from "../block/ports.js";
import { readdir, statfs } from "node:fs/promises";
import { placeFolder, type StoreLayout } from "./layout.js";
import { listBlocks } from "./listBlocks.js";
import { isFolder } from "./storeFolders.js";
import { orStoreError } from "./storeError.js";

export interface PlaceSummary {
  readonly blockCount: number;
  /** Lengths added up, not what the disk gives for them. */
  readonly sizeBytes: number;
}

export interface StoreSummary {
  readonly path: string;
  readonly kept: PlaceSummary;
  readonly cached: PlaceSummary;
  /** Bad blocks and indexes in quarantine/. */
  readonly setAsideCount: number;
  readonly cacheQuotaBytes: number;
  readonly diskFreeBytes: number;
}

export interface SummaryOptions {
  readonly layout: StoreLayout;
  readonly cacheQuotaBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Adds up a store.
 *
 * @throws ERR_PSYNC_STORE a folder cannot be read; the signal's reason
 * Cost: one stat a block, about 20 s a million.
 */
export async function summarize(options: SummaryOptions): Promise<StoreSummary> {
  const { layout, cacheQuotaBytes, signal } = options;
  const disk = await orStoreError("look at the disk of", layout.path, () => statfs(layout.path));
  return {
    path: layout.path,
    kept: await addUp(layout, "kept", signal),
    cached: await addUp(layout, "cached", signal),
    setAsideCount: (await isFolder(layout.quarantine))
      ? (await orStoreError("list", layout.quarantine, () => readdir(layout.quarantine))).length
      : 0,
    cacheQuotaBytes,
    diskFreeBytes: disk.bavail * disk.bsize,
  };
}

async function addUp(
  layout: StoreLayout,
  place: BlockPlace,
  signal: AbortSignal,
): Promise<PlaceSummary> {
  const folder = placeFolder(layout, place);
  let blockCount = 0;
  let sizeBytes = 0;
  if (!(await isFolder(folder))) return { blockCount, sizeBytes };
  await orStoreError("list", folder, async () => {
    for await (const block of listBlocks(folder)) {
      signal.throwIfAborted();
      blockCount += 1;
      sizeBytes += block.sizeBytes;
    }
  });
  return { blockCount, sizeBytes };
}

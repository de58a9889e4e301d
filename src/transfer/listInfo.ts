/** What a list says, and how much of it lies in the store. */
import type { BlockStore, SizeMemory } from "../block/ports.js";
import { inParallel } from "../core/inParallel.js";
import { LIMITS } from "../core/limits.js";
import { distinctBlocks, fitsLength, type Hashlist } from "../hashlist/hashlist.js";

export interface ListInfo {
  /** null where a plain list's size was not learned yet. */
  readonly sizeBytes: number | null;
  readonly blockCount: number;
  /** Blocks that differ by name; the four counts below add up to it. */
  readonly distinctBlockCount: number;
  readonly blockSizeBytes: number;
  readonly digest: string;
  readonly keptCount: number;
  readonly cachedCount: number;
  /** Blocks that lie in no folder of the store, but in files of the user's. */
  readonly seedCount: number;
  readonly missingCount: number;
}

/**
 * Looks every block of a list up in the store, by name; no byte of a block is read.
 *
 * @throws ERR_PSYNC_STORE the store cannot be read
 */
export async function listInfo(
  list: Hashlist,
  parts: { readonly store: BlockStore; readonly sizes: SizeMemory },
): Promise<ListInfo> {
  const counts = { kept: 0, cached: 0, seed: 0, missing: 0 };
  const lookUp = async (blockIndex: number): Promise<void> => {
    const hash = list.hashAt(blockIndex);
    const found = await parts.store.find(hash);
    // A block that was cut short on the disk is not there, whatever its name says.
    const fits = found !== undefined && fitsLength(list, blockIndex, found.sizeBytes);
    counts[fits ? found.place : "missing"] += 1;
    if (fits && hash === lastHash) lastSizeBytes = found.sizeBytes;
  };
  const { blockCount, blockSizeBytes, digest } = list;
  const lastHash = blockCount > 0 ? list.hashAt(blockCount - 1) : undefined;
  let lastSizeBytes: number | undefined;
  await inParallel(distinctBlocks(list), LIMITS.read.lookUpsAtOnce, lookUp);
  const learned =
    lastSizeBytes === undefined
      ? parts.sizes.get(digest)
      : (blockCount - 1) * blockSizeBytes + lastSizeBytes;
  return {
    sizeBytes: list.sizeBytes ?? learned ?? null,
    blockCount,
    distinctBlockCount: counts.kept + counts.cached + counts.seed + counts.missing,
    blockSizeBytes,
    digest,
    keptCount: counts.kept,
    cachedCount: counts.cached,
    seedCount: counts.seed,
    missingCount: counts.missing,
  };
}

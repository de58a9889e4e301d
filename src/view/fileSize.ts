/**
 * The exact size of a listed file. A plain list does not say it; then it is learned from the last block,
 * fetched and verified once, and remembered by the list's digest.
 */
import type { BlockSource, SizeMemory } from "../block/ports.js";
import { sizeFits } from "../hashlist/geometry.js";
import type { Hashlist } from "../hashlist/hashlist.js";
import { wrongLength } from "./view.js";

/**
 * The file's size in bytes. Lists with a trailer and empty lists answer at once and ask nobody.
 *
 * @throws ERR_PSYNC_BLOCK_UNAVAILABLE the last block was not to be had, so the size is not known
 * @throws ERR_PSYNC_CORRUPT the last block is empty or longer than a block can be
 * Source: docs/semantics.md, SIZE-1.
 */
export async function fileSize(
  parts: { readonly list: Hashlist; readonly source: BlockSource; readonly sizes: SizeMemory },
  signal: AbortSignal,
): Promise<number> {
  const { list, source, sizes } = parts;
  if (list.sizeBytes !== undefined) return list.sizeBytes;
  const { blockCount, blockSizeBytes, digest } = list;
  const learned = sizes.get(digest);
  // What the index says is only believed where it can be true: it may be damaged, or for another block size.
  if (learned !== undefined && sizeFits(learned, blockSizeBytes, blockCount)) return learned;
  const blockIndex = blockCount - 1;
  const hash = list.hashAt(blockIndex);
  const last = await source.fetch({ hash, maxBytes: blockSizeBytes, signal });
  const sizeBytes = blockIndex * blockSizeBytes + last.bytes.length;
  if (!sizeFits(sizeBytes, blockSizeBytes, blockCount)) {
    throw wrongLength({ list, blockIndex, lengthBytes: blockSizeBytes }, last.bytes.length);
  }
  sizes.set(digest, sizeBytes);
  return sizeBytes;
}

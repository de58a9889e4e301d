/** Where bytes lie: file offsets to blocks and back. Pure arithmetic, without state. */

/** How a file is cut into blocks. All blocks but the last have the block size. */
export interface Geometry {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly blockCount: number;
}

/** A piece of one block: `lengthBytes` from `startBytes` inside it. */
export interface Span {
  readonly blockIndex: number;
  readonly startBytes: number;
  readonly lengthBytes: number;
}

/** The length of one block, 1..blockSizeBytes. `blockIndex` is in 0..blockCount − 1. */
export function blockLengthBytes(geometry: Geometry, blockIndex: number): number {
  const { sizeBytes, blockSizeBytes, blockCount } = geometry;
  return blockIndex < blockCount - 1
    ? blockSizeBytes
    : sizeBytes - (blockCount - 1) * blockSizeBytes;
}

/**
 * The pieces of blocks that make up a range, in order and without gaps, cut at the end of the file.
 *
 * @param range integers ≥ 0; a range past the end gives no span
 */
export function spansOf(
  geometry: Geometry,
  range: { readonly offset: number; readonly length: number },
): Span[] {
  const { blockSizeBytes, sizeBytes } = geometry;
  const endBytes = Math.min(sizeBytes, range.offset + range.length);
  const spans: Span[] = [];
  let at = range.offset;
  while (at < endBytes) {
    const blockIndex = Math.floor(at / blockSizeBytes);
    const startBytes = at - blockIndex * blockSizeBytes;
    const lengthBytes = Math.min(blockSizeBytes - startBytes, endBytes - at);
    spans.push({ blockIndex, startBytes, lengthBytes });
    at += lengthBytes;
  }
  return spans;
}

/** Whether a size and a count of blocks can belong to one file. An empty file has no block. */
export function sizeFits(sizeBytes: number, blockSizeBytes: number, blockCount: number): boolean {
  return Math.ceil(sizeBytes / blockSizeBytes) === blockCount;
}

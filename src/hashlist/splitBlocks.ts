/** Bytes as they come → blocks of one size, the last one shorter. */

/**
 * Cuts a stream into blocks. Each is a buffer of its own, which the caller may keep.
 *
 * @param blockSizeBytes integer ≥ 1
 */
export async function* splitBlocks(
  chunks: AsyncIterable<Uint8Array>,
  blockSizeBytes: number,
): AsyncGenerator<Uint8Array> {
  let block = Buffer.alloc(0);
  let filledBytes = 0;
  for await (const chunk of chunks) {
    let at = 0;
    while (at < chunk.length) {
      if (filledBytes === 0) block = Buffer.allocUnsafeSlow(blockSizeBytes);
      const taken = Math.min(blockSizeBytes - filledBytes, chunk.length - at);
      block.set(chunk.subarray(at, at + taken), filledBytes);
      filledBytes += taken;
      at += taken;
      if (filledBytes === blockSizeBytes) {
        yield block;
        filledBytes = 0;
      }
    }
  }
  // A copy, so that a short last block does not hold a whole block's memory.
  if (filledBytes > 0) yield Buffer.from(new Uint8Array(block.subarray(0, filledBytes)).buffer);
}

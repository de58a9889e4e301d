/** All bytes of a listed file, from the first to the last, each checked before it is given. */
import type { BlockSource } from "../block/ports.js";
import { LIMITS } from "../core/limits.js";
import { fitsLength, listedLengthBytes, type Hashlist } from "../hashlist/hashlist.js";
import { wrongLength } from "./view.js";

/**
 * Gives the blocks of a list in order, asking for a few of them ahead.
 *
 * @throws ERR_PSYNC_BLOCK_UNAVAILABLE a block was not to be had
 * @throws ERR_PSYNC_CORRUPT a block has another length than its place in the list allows
 * @throws the signal's reason
 * Cost: at most `LIMITS.read.sequenceAheadBytes` of blocks, or two blocks, in memory.
 */
export async function* blocksInOrder(
  parts: { readonly list: Hashlist; readonly source: BlockSource },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { list, source } = parts;
  const { blockCount, blockSizeBytes } = list;
  const { sequenceAheadBytes, sequenceAheadBlocks } = LIMITS.read;
  const aheadCount = Math.max(
    1,
    Math.min(sequenceAheadBlocks, Math.floor(sequenceAheadBytes / blockSizeBytes)),
  );
  const pending: Promise<Uint8Array>[] = [];
  const askFor = (blockIndex: number): void => {
    const block = source
      .fetch({ hash: list.hashAt(blockIndex), maxBytes: blockSizeBytes, signal })
      .then(({ bytes }) => bytes);
    block.catch(() => undefined);
    pending.push(block);
  };

  for (let blockIndex = 0; blockIndex < Math.min(aheadCount, blockCount); blockIndex += 1) {
    askFor(blockIndex);
  }
  for (let blockIndex = 0; blockIndex < blockCount; blockIndex += 1) {
    signal.throwIfAborted();
    const bytes = await pending.shift();
    if (bytes === undefined) throw new Error("a block was not asked for");
    checkLength(list, blockIndex, bytes.length);
    if (blockIndex + aheadCount < blockCount) askFor(blockIndex + aheadCount);
    yield bytes;
  }
}

function checkLength(list: Hashlist, blockIndex: number, seenBytes: number): void {
  if (fitsLength(list, blockIndex, seenBytes)) return;
  const lengthBytes = listedLengthBytes(list, blockIndex) ?? list.blockSizeBytes;
  throw wrongLength({ list, blockIndex, lengthBytes }, seenBytes);
}

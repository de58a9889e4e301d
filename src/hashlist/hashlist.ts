/** A hashlist in memory: 32 bytes a block, whatever the text looked like. */
import { HASH_BYTES, blockHashFromBytes, type BlockHash } from "../block/hash.js";

/** One line of a trailer that psync does not know; it is kept as it was. */
export interface TrailerLine {
  readonly key: string;
  readonly value: string;
}

/** The ordered block hashes of one file, and what the trailer said. Nobody changes it after it was made. */
export interface Hashlist {
  readonly blockCount: number;
  readonly blockSizeBytes: number;
  /** The file's size where it is known: from the trailer, or because the list is empty. */
  readonly sizeBytes: number | undefined;
  /** SHA-256 of the canonical bytes: every hash in lower case, each with a newline, and no trailer. 64 hex digits. */
  readonly digest: string;
  readonly extraTrailer: readonly TrailerLine[];
  /** Bytes that the hashes take in memory. */
  readonly memoryBytes: number;
  /** The name of one block, 0..blockCount − 1. */
  hashAt(blockIndex: number): BlockHash;
}

/** @param hashes Buffer[32 × blockCount], owned by the list from here on */
export function createHashlist(parts: {
  readonly hashes: Buffer;
  readonly blockSizeBytes: number;
  readonly sizeBytes: number | undefined;
  readonly digest: string;
  readonly extraTrailer?: readonly TrailerLine[];
}): Hashlist {
  const { hashes, blockSizeBytes, sizeBytes, digest, extraTrailer = [] } = parts;
  const blockCount = hashes.length / HASH_BYTES;
  return {
    blockCount,
    blockSizeBytes,
    sizeBytes: blockCount === 0 ? 0 : sizeBytes,
    digest,
    extraTrailer,
    memoryBytes: hashes.buffer.byteLength,
    hashAt(blockIndex) {
      if (!Number.isInteger(blockIndex) || blockIndex < 0 || blockIndex >= blockCount) {
        throw new RangeError(`block ${blockIndex} of ${blockCount}`);
      }
      return blockHashFromBytes(hashes, blockIndex * HASH_BYTES);
    },
  };
}

/** The index of each block that differs by name from all before it: what has to be fetched. */
export function* distinctBlocks(list: Hashlist): Generator<number> {
  const seen = new Set<BlockHash>();
  for (let blockIndex = 0; blockIndex < list.blockCount; blockIndex += 1) {
    const hash = list.hashAt(blockIndex);
    if (seen.has(hash)) continue;
    seen.add(hash);
    yield blockIndex;
  }
}

/** A hashlist in memory: 32 bytes a block, whatever the text looked like. */
import { HASH_BYTES, blockHashFromBytes, type BlockHash } from "../block/hash.js";
import { hashWord } from "../block/hashWord.js";

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
  /** 32 bits that follow from the name of one block, others in each process: for tables, where strings take too much. */
  hashWordAt(blockIndex: number): number;
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
    hashWordAt: (blockIndex) => hashWord(hashes, blockIndex * HASH_BYTES),
  };
}

/**
 * The length that the list gives a block: exact for all but the last one of a plain list, which is undefined.
 * It is in 1..blockSizeBytes.
 */
export function listedLengthBytes(list: Hashlist, blockIndex: number): number | undefined {
  const { blockCount, blockSizeBytes, sizeBytes } = list;
  if (blockIndex < blockCount - 1) return blockSizeBytes;
  return sizeBytes === undefined ? undefined : sizeBytes - blockIndex * blockSizeBytes;
}

/** Whether a block of some length can stand at a place of the list. */
export function fitsLength(list: Hashlist, blockIndex: number, lengthBytes: number): boolean {
  const listed = listedLengthBytes(list, blockIndex);
  return listed === undefined
    ? lengthBytes > 0 && lengthBytes <= list.blockSizeBytes
    : lengthBytes === listed;
}

/**
 * The index of each block that differs by name from all before it: what has to be fetched.
 * Cost: 8 to 16 bytes of memory a block.
 */
export function* distinctBlocks(list: Hashlist): Generator<number> {
  // Open addressing. 0 is free; else an index + 1.
  const slotCount = 2 ** Math.ceil(Math.log2(Math.max(2, list.blockCount * 2)));
  const slots = new Uint32Array(slotCount);
  for (let blockIndex = 0; blockIndex < list.blockCount; blockIndex += 1) {
    let slot = list.hashWordAt(blockIndex) % slotCount;
    let known = slots[slot] ?? 0;
    while (known > 0 && list.hashAt(known - 1) !== list.hashAt(blockIndex)) {
      slot = (slot + 1) % slotCount;
      known = slots[slot] ?? 0;
    }
    if (known > 0) continue;
    slots[slot] = blockIndex + 1;
    yield blockIndex;
  }
}

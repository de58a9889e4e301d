/** The files that simulated readers read: the same in all runs, since no seed gains by other bytes. */
import type { BlockHash } from "../../../src/block/hash.js";
import type { VerifiedBlock } from "../../../src/block/verify.js";
import { LIMITS } from "../../../src/core/limits.js";
import type { Hashlist } from "../../../src/hashlist/hashlist.js";
import { seededBytes } from "../blocks.js";
import { listOf } from "../lists.js";

export const BLOCK_BYTES = 1024;
/** How much smaller blocks are here than outside; what is counted in bytes or bytes a second is divided by it. */
export const SCALE = LIMITS.block.defaultSizeBytes / BLOCK_BYTES;
export const FILE_COUNT = 4;
export const BLOCKS_PER_FILE = 48;
/** The last block of a file is shorter. */
const FILE_BYTES = BLOCKS_PER_FILE * BLOCK_BYTES - 300;

export interface LibraryFile {
  readonly list: Hashlist;
  readonly bytes: Uint8Array;
}

export interface Library {
  readonly files: readonly LibraryFile[];
  /** The number of a block among those of all files: the file's number × BLOCKS_PER_FILE, and its place in it. */
  readonly blockIndexOf: (hash: BlockHash) => number;
  readonly hashOf: (blockIndex: number) => BlockHash;
  readonly bytesOf: (blockIndex: number) => Uint8Array;
}

export async function createLibrary(): Promise<Library> {
  const files: LibraryFile[] = [];
  const indexes = new Map<BlockHash, number>();
  const blocks: VerifiedBlock[] = [];
  for (let number = 0; number < FILE_COUNT; number += 1) {
    const bytes = seededBytes(`simulated file ${number}`, FILE_BYTES);
    const listed = await listOf(bytes, BLOCK_BYTES);
    files.push({ list: listed.list, bytes });
    for (const block of listed.blocks.values()) {
      indexes.set(block.hash, blocks.length);
      blocks.push(block);
    }
  }
  const blockAt = (blockIndex: number): VerifiedBlock => {
    const block = blocks[blockIndex];
    if (!block) throw new RangeError(`there is no block ${blockIndex}`);
    return block;
  };
  return {
    files,
    blockIndexOf: (hash) => indexes.get(hash) ?? -1,
    hashOf: (blockIndex) => blockAt(blockIndex).hash,
    bytesOf: (blockIndex) => blockAt(blockIndex).bytes,
  };
}

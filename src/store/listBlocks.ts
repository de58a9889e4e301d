/** Walks over the blocks of a folder without holding their names. */
import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";
import { parseBlockHash, type BlockHash } from "../block/hash.js";
import { isAbsent, orStoreError } from "./storeError.js";
import { isThere } from "./storeFolders.js";

export interface ListedBlock {
  readonly hash: BlockHash;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/**
 * Yields the names in a folder that are blocks' names, in no order. Other names are passed over: the folder
 * may be a web server's, with an index.html of its own.
 *
 * @throws ERR_PSYNC_STORE the folder cannot be read
 * Cost: memory of one batch of names; the folder may hold millions.
 */
export async function* listHashes(folder: string): AsyncGenerator<BlockHash, void, undefined> {
  const entries = await orStoreError("list", folder, () => opendir(folder, { bufferSize: 256 }));
  for await (const entry of entries) {
    const hash = parseBlockHash(entry.name);
    if (hash === entry.name) yield hash;
  }
}

/** The same; a folder that is not there has no blocks. */
export async function* listHashesIfThere(
  folder: string,
): AsyncGenerator<BlockHash, void, undefined> {
  if (await isThere(folder)) yield* listHashes(folder);
}

/** As `listHashes`, with length and time of each; one stat a block. What is gone meanwhile is left out. */
export async function* listBlocks(folder: string): AsyncGenerator<ListedBlock, void, undefined> {
  for await (const hash of listHashes(folder)) {
    try {
      const stats = await lstat(join(folder, hash));
      if (stats.isFile()) yield { hash, sizeBytes: stats.size, modifiedMs: stats.mtimeMs };
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }
}

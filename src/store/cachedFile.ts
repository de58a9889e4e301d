/** The file of a cached block, whatever the index says of it. */
import { existsSync } from "node:fs";
import { lstat } from "node:fs/promises";
import type { BlockHash } from "../block/hash.js";
import { diskBytes } from "./evictionPolicy.js";
import { blockPath, type StoreLayout } from "./layout.js";

/** Cost: a system call, on this thread. */
export function isCached(layout: StoreLayout, hash: BlockHash): boolean {
  return existsSync(blockPath(layout, "cached", hash));
}

/** What it takes of the disk, or undefined where there is none. */
export async function cachedBytes(
  layout: StoreLayout,
  hash: BlockHash,
): Promise<number | undefined> {
  try {
    return diskBytes((await lstat(blockPath(layout, "cached", hash))).size);
  } catch {
    return undefined;
  }
}

/** Which files some blocks belong to, as a set of hashlists tells; and how many blocks of each list a store's folders lack. */
import { basename } from "node:path";
import type { BlockHash } from "../block/hash.js";
import type { BlockStore } from "../block/ports.js";
import { orAbort } from "../core/abort.js";
import { errorMessage, isPsyncError } from "../core/errors.js";
import { inParallel } from "../core/inParallel.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { HASHLIST_SUFFIX } from "../hashlist/format.js";
import { distinctBlocks } from "../hashlist/hashlist.js";
import { readHashlist } from "../hashlist/readHashlist.js";

/** Where a block stands. */
export interface AffectedPlace {
  readonly list: string;
  /** The file's name: the list's without its suffix. */
  readonly file: string;
  readonly blockIndex: number;
}

export interface AffectedLists {
  /** Lists that were read. */
  readonly listCount: number;
  /** Up to LIMITS.check.placesOfBlock places of each block that was looked for and stands in a list. */
  readonly placesOf: ReadonlyMap<BlockHash, readonly AffectedPlace[]>;
  /** Lists with blocks that are neither kept nor cached, distinct ones; whether they lie in seeds is not looked at. */
  readonly lacking: readonly { readonly list: string; readonly lackingCount: number }[];
  /** Lists that could not be read; the log has each. */
  readonly unreadCount: number;
}

/**
 * Looks blocks up in lists, one list after the other.
 *
 * @param paths of lists
 * @param blocks the hashes that are looked for
 * @throws ERR_PSYNC_STORE; the signal's reason. A list that went away or bad is logged and counted
 * Cost: reads each list; a look into the store for each of its blocks; memory of the largest list.
 */
export async function affectedLists(
  paths: readonly string[],
  blocks: ReadonlySet<BlockHash>,
  parts: { readonly store: BlockStore; readonly log: Logger; readonly signal: AbortSignal },
): Promise<AffectedLists> {
  const { store, log, signal } = parts;
  const placesOf = new Map<BlockHash, AffectedPlace[]>();
  const lacking: { readonly list: string; readonly lackingCount: number }[] = [];
  let unreadCount = 0;
  for (const path of paths) {
    signal.throwIfAborted();
    const read = await orAbort(readHashlist(path), signal).catch((error: unknown) => {
      if (!isPsyncError(error) || signal.aborted) throw error;
      log.warn(`${errorMessage(error)}; it is left out`);
      return undefined;
    });
    if (!read) {
      unreadCount += 1;
      continue;
    }
    const { list } = read;
    const file = basename(path, HASHLIST_SUFFIX);
    for (let blockIndex = 0; blocks.size > 0 && blockIndex < list.blockCount; blockIndex += 1) {
      const hash = list.hashAt(blockIndex);
      if (!blocks.has(hash)) continue;
      const places = placesOf.get(hash) ?? [];
      placesOf.set(hash, places);
      if (places.length < LIMITS.check.placesOfBlock) places.push({ list: path, file, blockIndex });
    }
    let lackingCount = 0;
    await inParallel(distinctBlocks(list), LIMITS.read.lookUpsAtOnce, async (blockIndex) => {
      signal.throwIfAborted();
      const place = (await store.find(list.hashAt(blockIndex)))?.place ?? "seed";
      if (place === "seed") lackingCount += 1;
    });
    if (lackingCount > 0) lacking.push({ list: path, lackingCount });
  }
  return { listCount: paths.length - unreadCount, placesOf, lacking, unreadCount };
}

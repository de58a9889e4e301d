/** Which files some blocks belong to, as a set of hashlists tells; and how many blocks of each list a store lacks. */
import { opendir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { BlockHash } from "../block/hash.js";
import type { BlockStore } from "../block/ports.js";
import { orAbort } from "../core/abort.js";
import { errorMessage, isPsyncError, PsyncError } from "../core/errors.js";
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
  /** Up to LIMITS.check.placesOfBlock places of each block that was looked for and stands in a list. */
  readonly placesOf: ReadonlyMap<BlockHash, readonly AffectedPlace[]>;
  /** Lists with blocks that are nowhere in the store; distinct ones. */
  readonly lacking: readonly { readonly list: string; readonly lackingCount: number }[];
  /** Lists that could not be read; the log has each. */
  readonly unreadCount: number;
}

/**
 * The paths of the lists that files and folders stand for; a folder for all `*.hashlist` below it, symlinks not followed.
 *
 * @throws ERR_PSYNC_FAILED one of the paths cannot be read; ERR_PSYNC_BAD_HASHLIST a file that is named itself is no list
 */
export async function hashlistPaths(
  named: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const path of named) {
    try {
      if ((await stat(path)).isDirectory()) {
        for await (const found of listsBelow(path)) {
          signal.throwIfAborted();
          paths.push(found);
        }
        continue;
      }
    } catch (error) {
      signal.throwIfAborted();
      const problem = `cannot read the hashlists ${path}: ${errorMessage(error)}`;
      throw new PsyncError("ERR_PSYNC_FAILED", problem, { cause: error });
    }
    // A slip is told now, and not after hours.
    await orAbort(readHashlist(path), signal);
    paths.push(path);
  }
  return paths;
}

async function* listsBelow(folder: string): AsyncGenerator<string> {
  const folders: string[] = [];
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) folders.push(path);
    else if (entry.isFile() && entry.name.endsWith(HASHLIST_SUFFIX)) yield path;
  }
  for (const below of folders) yield* listsBelow(below);
}

/**
 * Looks blocks up in lists, one list after the other.
 *
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
      if (!(await store.find(list.hashAt(blockIndex)))) lackingCount += 1;
    });
    if (lackingCount > 0) lacking.push({ list: path, lackingCount });
  }
  return { placesOf, lacking, unreadCount };
}

/**
 * Blocks in their two places: finding, reading, setting bad ones aside. Writes no block.
 *
 * Other processes keep, pin, unpin and evict at the same time. A block that is there all the time and moves once,
 * either way, is not missed by whoever looks in blocks/, cache/ and blocks/ again.
 */
import { link, lstat, readdir, rename, rm } from "node:fs/promises";
import { syncFolder } from "../core/atomicFile.js";
import type { Clock } from "../core/clock.js";
import { errorMessage } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { createTrouble } from "../core/trouble.js";
import type { BlockHash } from "../block/hash.js";
import type { BlockPlace, StoredBlock } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import {
  blockPath,
  lostHash,
  lostPath,
  placeFolder,
  quarantinePath,
  type StoreLayout,
} from "./layout.js";
import { readBlockFile } from "./readBlockFile.js";
import { isAbsent, storeError } from "./storeError.js";

export interface FoundBlock {
  readonly place: BlockPlace;
  readonly block: VerifiedBlock;
  readonly inode: bigint;
}

export interface BlockFinder {
  /** @throws ERR_PSYNC_STORE a kept block's file cannot be looked at, and there is no cached one */
  find(hash: BlockHash): Promise<StoredBlock | undefined>;
  /** @throws ERR_PSYNC_STORE a kept block's file cannot be read, and there is no valid cached one */
  read(hash: BlockHash): Promise<FoundBlock | undefined>;
  /**
   * Gives a bad kept file a name in quarantine/ too, so that it can be replaced by one rename: the block's name is
   * never away. What has no second name, such as a folder, is moved.
   */
  linkAside(hash: BlockHash, bad: BadFile): Promise<void>;
  /**
   * Moves a bad file to quarantine/, unless another process has replaced it since.
   *
   * @returns `gone`: it is not there any more; `left`: it could not be moved, and the log says why
   */
  setAside(place: BlockPlace, hash: BlockHash, bad: BadFile): Promise<"moved" | "gone" | "left">;
}

export interface BadFile {
  readonly why: string;
  readonly inode: bigint;
}

export interface BlockFinderOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Logger;
  /** Bad blocks are left where they are. */
  readonly leavesBad: boolean;
}

const PLACES: readonly BlockPlace[] = ["kept", "cached", "kept"];

export function createBlockFinder(options: BlockFinderOptions): BlockFinder {
  const { layout, clock, log, leavesBad } = options;
  const unread = createTrouble({
    clock,
    log,
    failing: "a cached block is taken as not there",
    over: "cached blocks can be read again",
    counted: ["read of them failed", "reads of them failed"],
  });
  const find = async (hash: BlockHash): Promise<StoredBlock | undefined> => {
    let failure: Error | undefined;
    for (const place of PLACES) {
      const path = blockPath(layout, place, hash);
      try {
        const stats = await lstat(path);
        if (stats.isFile() && stats.size <= LIMITS.block.maxSizeBytes) {
          return { place, sizeBytes: stats.size };
        }
      } catch (error) {
        if (!isAbsent(error) && place === "kept") failure = storeError("look at", path, error);
      }
    }
    if (failure) throw failure;
    return undefined;
  };

  const read = async (hash: BlockHash): Promise<FoundBlock | undefined> => {
    let failure: Error | undefined;
    for (const place of PLACES) {
      const path = blockPath(layout, place, hash);
      const reading = await readBlockFile(path, hash);
      switch (reading.kind) {
        case "good":
          if (place === "cached") unread.worked();
          return { place, block: reading.block, inode: reading.inode };
        case "absent":
          break;
        case "bad":
          await setAside(place, hash, reading);
          break;
        case "unreadable":
          if (place === "kept") failure = storeError("read", path, reading.error);
          else unread.failed(storeError("read", path, reading.error));
          break;
      }
    }
    if (failure) throw failure;
    return undefined;
  };

  const setAside: BlockFinder["setAside"] = async (place, hash, bad) => {
    const path = blockPath(layout, place, hash);
    if (leavesBad) {
      log.warn(`bad block left at ${path}: ${bad.why}`);
      return "left";
    }
    const aside = place === "kept" ? lostPath(layout, hash) : quarantinePath(layout, hash);
    try {
      if ((await inodeOf(path)) !== bad.inode) return "gone";
      await rename(path, aside);
      if ((await inodeOf(aside)) !== bad.inode) {
        // Another process had put a good one there since. Two processes that keep it write the same bytes.
        await rename(aside, path);
        await syncFolder(placeFolder(layout, place));
        return "gone";
      }
      // Of a cached one nothing is lost: a few are for whoever wants to know what the disk did to them.
      if (place === "cached" && (await setAsideCount(layout)) > LIMITS.store.maxCachedAside) {
        await rm(aside, { force: true });
        log.warn(`bad block removed from ${path}: ${bad.why}`);
        return "moved";
      }
      log.warn(`bad block set aside from ${path} to ${aside}: ${bad.why}`);
      return "moved";
    } catch (error) {
      if (isAbsent(error)) return "gone";
      log.warn(`bad block at ${path} cannot be set aside (${errorMessage(error)}): ${bad.why}`);
      return "left";
    }
  };

  const linkAside = async (hash: BlockHash, bad: BadFile): Promise<void> => {
    const path = blockPath(layout, "kept", hash);
    const aside = quarantinePath(layout, hash);
    try {
      await link(path, aside);
      if ((await inodeOf(aside)) === bad.inode) {
        log.warn(`bad block at ${path} is replaced, and set aside to ${aside}: ${bad.why}`);
      } else {
        // Another process has replaced it since.
        await rm(aside, { force: true });
      }
    } catch {
      await setAside("kept", hash, bad);
    }
  };

  return { find, read, linkAside, setAside };
}

/** Files in quarantine/ that stand for no kept block that is lost. */
async function setAsideCount(layout: StoreLayout): Promise<number> {
  const names = await readdir(layout.quarantine);
  return names.filter((name) => lostHash(name) === undefined).length;
}

async function inodeOf(path: string): Promise<bigint> {
  // Of a symlink itself: where it leads to may lie in no store.
  return (await lstat(path, { bigint: true })).ino;
}

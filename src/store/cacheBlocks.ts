/**
 * Cached blocks: written without a sync, after room was made for them. A crash may leave one that is empty
 * or torn; the first read of it finds that out.
 *
 * One block at a time is written by a process: its row is the newest, so that other processes do not evict
 * what is still being written unless the quota is a handful of blocks.
 */
import { rm, statfs } from "node:fs/promises";
import type { FreeSpace } from "../core/bytes.js";
import { createSemaphore } from "../core/semaphore.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockHash } from "../block/hash.js";
import type { VerifiedBlock } from "../block/verify.js";
import { allowedBytes, diskBytes, type CachedBlock, type DiskState } from "./evictionPolicy.js";
import type { BlockFinder } from "./findBlocks.js";
import { blockPath, type StoreLayout } from "./layout.js";
import { orStoreError } from "./storeError.js";
import type { FoundFile, StoreIndex } from "./storeIndex.js";
import type { TempFiles } from "./tempFiles.js";
import { putInPlace, writeNewFile } from "./writeFile.js";

export interface BlockCacherOptions {
  readonly layout: StoreLayout;
  readonly temp: TempFiles;
  readonly finder: BlockFinder;
  readonly index: StoreIndex;
  readonly log: Logger;
  readonly quotaBytes: number;
  /** What is left free of the disk. */
  readonly minFree: FreeSpace;
  readonly signal: AbortSignal;
}

export interface BlockCacher {
  /** Puts a block into cache/. */
  cache(block: VerifiedBlock): Promise<void>;
  /**
   * Makes room for a kept block that is to be moved to cache/, and counts it there.
   *
   * @returns false: the cache has no room for it
   */
  makeRoomForKept(hash: BlockHash, sizeBytes: number): Promise<boolean>;
}

/** Makes what puts blocks into cache/. */
export function createBlockCacher(options: BlockCacherOptions): BlockCacher {
  const { layout, temp, finder, index, log, quotaBytes, minFree, signal } = options;
  const oneAtATime = createSemaphore(1);

  const evict = async (blocks: readonly CachedBlock[]): Promise<void> => {
    for (const { hash } of blocks) {
      const path = blockPath(layout, "cached", hash);
      // Absent where another process evicts at the same time, or somebody tidied up by hand.
      await orStoreError("evict", path, () => rm(path, { force: true }));
    }
    await index.forget(blocks);
    log.debug(`evicted ${blocks.length} cached blocks, ${blocks[0]?.hash ?? ""} first`);
  };

  /** @param presentBytes what the block takes of the disk already @returns whether the block may be cached */
  const makeRoom = async (block: FoundFile, presentBytes: number): Promise<boolean> => {
    const { sizeBytes } = block;
    if (sizeBytes > quotaBytes) return false;
    for (let round = 0; round < LIMITS.store.evictionRounds; round += 1) {
      const state = { quotaBytes, minFree, ...(await diskState(layout.cache)) };
      const disk = { ...state, freeBytes: state.freeBytes + presentBytes };
      const reservation = await index.reserve(block, disk);
      switch (reservation.kind) {
        case "reserved":
          return true;
        case "evict":
          await evict(reservation.blocks);
          break;
        case "no room":
          return false;
        case "unknown":
          // Without an index only the disk's own limit can be kept; the quota is met when it is back.
          return allowedBytes({ ...disk, quotaBytes: sizeBytes }, 0) >= sizeBytes;
      }
    }
    return false;
  };

  const write = async (block: VerifiedBlock): Promise<void> => {
    const found = await finder.find(block.hash);
    if (found?.place === "kept" && found.sizeBytes === block.bytes.length) return;
    const sizeBytes = diskBytes(block.bytes.length);
    if (!(await makeRoom({ hash: block.hash, sizeBytes }, 0))) {
      log.debug(`no room in the cache for block ${block.hash} of ${block.bytes.length} bytes`);
      return;
    }
    try {
      const tempPath = temp.newPath();
      await orStoreError("write", tempPath, () =>
        writeNewFile(tempPath, block.bytes, { sync: false }),
      );
      await putInPlace(tempPath, blockPath(layout, "cached", block.hash));
    } catch (error) {
      if (!found) index.noteGone([block.hash]);
      throw error;
    }
    index.noteUse(block.hash);
  };

  return {
    cache: (block) => oneAtATime.run(1, { signal }, () => write(block)),
    makeRoomForKept: (hash, length) => {
      const sizeBytes = diskBytes(length);
      return oneAtATime.run(1, { signal }, () => makeRoom({ hash, sizeBytes }, sizeBytes));
    },
  };
}

async function diskState(path: string): Promise<Pick<DiskState, "freeBytes" | "totalBytes">> {
  const stats = await orStoreError("look at the disk of", path, () => statfs(path));
  return {
    freeBytes: stats.bavail * stats.bsize,
    totalBytes: stats.blocks * stats.bsize,
  };
}

/**
 * Cached blocks: written without a sync, after room was made for them. A crash may leave one that is empty
 * or torn; the first read of it finds that out.
 *
 * A process writes a few blocks at once. It evicts none of those; other processes do not, since their rows are
 * the newest, unless the quota is a few blocks for each of them. Who lost its row all the same while it was written
 * makes room for it again, or removes it.
 */
import { rm, statfs } from "node:fs/promises";
import { formatSize, type FreeSpace } from "../core/bytes.js";
import { PsyncError } from "../core/errors.js";
import { createSemaphore } from "../core/semaphore.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockHash } from "../block/hash.js";
import type { VerifiedBlock } from "../block/verify.js";
import { allowedBytes, diskBytes, type CachedBlock, type DiskState } from "./evictionPolicy.js";
import type { BlockFinder } from "./findBlocks.js";
import { blockPath, type StoreLayout } from "./layout.js";
import { markStale } from "./staleMark.js";
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
  /** Puts a block into cache/. @throws ERR_PSYNC_STORE it cannot be written, or the disk has no room for it */
  cache(block: VerifiedBlock): Promise<void>;
  /**
   * Makes room for a kept block that is to be moved to cache/, and counts it there.
   *
   * @returns false: the cache has no room for it
   */
  makeRoomForKept(hash: BlockHash, sizeBytes: number): Promise<boolean>;
  /** Sees to it that a block that was moved to cache/ is counted there. */
  noteMoved(hash: BlockHash, sizeBytes: number): Promise<void>;
}

/** What became of an attempt to make room; `full disk`: not the quota, but the disk has none. */
type Room =
  | { readonly kind: "made" | "over quota" }
  | { readonly kind: "full disk"; readonly disk: DiskState };

/** Makes what puts blocks into cache/. */
export function createBlockCacher(options: BlockCacherOptions): BlockCacher {
  const { layout, temp, finder, index, log, quotaBytes, minFree, signal } = options;
  const places = createSemaphore(LIMITS.store.cacheWritesAtOnce);
  const writing = new Set<BlockHash>();
  /** Written, or waiting for that: a block that is handed in twice is written once. */
  const underWay = new Map<BlockHash, Promise<void>>();

  const evict = async (blocks: readonly CachedBlock[]): Promise<void> => {
    for (const { hash } of blocks) {
      const path = blockPath(layout, "cached", hash);
      // Absent where another process evicts at the same time, or somebody tidied up by hand.
      await orStoreError("evict", path, () => rm(path, { force: true }));
    }
    await index.forget(blocks);
    log.debug(`evicted ${blocks.length} cached blocks, ${blocks[0]?.hash ?? ""} first`);
  };

  /**
   * @param presentBytes what the block takes of the disk already
   * @throws ERR_PSYNC_STORE nothing can be written there
   */
  const makeRoom = async (block: FoundFile, presentBytes: number): Promise<Room> => {
    const { sizeBytes } = block;
    if (sizeBytes > quotaBytes) return { kind: "over quota" };
    for (let round = 0; round < LIMITS.store.evictionRounds; round += 1) {
      const state = await diskState(layout.cache);
      const freeBytes = state.freeBytes + presentBytes;
      const disk = { ...state, freeBytes, quotaBytes, minFree };
      const reservation = await index.reserve(block, disk, writing);
      switch (reservation.kind) {
        case "reserved":
          return { kind: "made" };
        case "evict":
          await evict(reservation.blocks);
          break;
        case "no room":
          return diskHasRoom(disk, sizeBytes)
            ? { kind: "over quota" }
            : { kind: "full disk", disk };
        case "unknown": {
          // Without an index only the disk's own limit can be kept; the quota is met when it is back.
          if (diskHasRoom(disk, sizeBytes)) {
            await markStale(layout);
            return { kind: "made" };
          }
          const victims = round === 0 ? await index.chooseVictims(sizeBytes, disk, writing) : [];
          if (victims.length === 0) return { kind: "full disk", disk };
          await evict(victims);
        }
      }
    }
    return { kind: "over quota" };
  };

  const write = async (block: VerifiedBlock): Promise<void> => {
    writing.add(block.hash);
    try {
      await writeOne(block);
    } finally {
      writing.delete(block.hash);
    }
  };

  const writeOne = async (block: VerifiedBlock): Promise<void> => {
    const found = await finder.find(block.hash);
    if (found?.place === "kept" && found.sizeBytes === block.bytes.length) return;
    const sizeBytes = diskBytes(block.bytes.length);
    const room = await makeRoom({ hash: block.hash, sizeBytes }, 0);
    if (room.kind === "full disk") throw noRoomOnDisk(layout.cache, room.disk);
    if (room.kind !== "made") {
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
    await assureCounted({ hash: block.hash, sizeBytes });
  };

  /** For a block that has just come to lie in cache/, after room was made for it. */
  const assureCounted = async (block: FoundFile): Promise<void> => {
    const { hash, sizeBytes } = block;
    if (!index.isCounted(hash)) {
      const room = await makeRoom(block, sizeBytes);
      if (room.kind !== "made") {
        const path = blockPath(layout, "cached", hash);
        await orStoreError("evict", path, () => rm(path, { force: true }));
        index.noteGone([hash]);
        return;
      }
    }
    index.noteUse(hash);
  };

  return {
    cache: (block) => {
      const known = underWay.get(block.hash);
      if (known) return known;
      const written = places
        .run(1, { signal }, () => write(block))
        .finally(() => underWay.delete(block.hash));
      underWay.set(block.hash, written);
      return written;
    },
    makeRoomForKept: async (hash, length) => {
      const sizeBytes = diskBytes(length);
      const room = await places.run(1, { signal }, () => makeRoom({ hash, sizeBytes }, sizeBytes));
      return room.kind === "made";
    },
    noteMoved: (hash, length) =>
      places.run(1, { signal }, () => assureCounted({ hash, sizeBytes: diskBytes(length) })),
  };
}

function diskHasRoom(disk: DiskState, sizeBytes: number): boolean {
  return allowedBytes({ ...disk, quotaBytes: sizeBytes }, 0) >= sizeBytes;
}

function noRoomOnDisk(path: string, disk: DiskState): PsyncError {
  const { freeBytes, totalBytes, minFree } = disk;
  const free = `only ${formatSize(freeBytes)} of ${formatSize(totalBytes)} are free`;
  const left = "bytes" in minFree ? formatSize(minFree.bytes) : `${minFree.fraction * 100} %`;
  const kept = `the cache leaves ${left} free`;
  return new PsyncError("ERR_PSYNC_STORE", `there is no room in ${path}: ${free}, and ${kept}`, {
    hint: "free space on that disk, or give a store on another one with --store",
  });
}
async function diskState(path: string): Promise<Pick<DiskState, "freeBytes" | "totalBytes">> {
  const stats = await orStoreError("look at the disk of", path, () => statfs(path));
  return {
    freeBytes: stats.bavail * stats.bsize,
    totalBytes: stats.blocks * stats.bsize,
  };
}

/**
 * Taking kept blocks out of blocks/: the only place that does, but for bad ones. What claims are, and why no block goes that somebody
 * has promised, is explained in claims.ts.
 */
import { lstatSync, renameSync, rmSync } from "node:fs";
import type { BlockHash } from "../block/hash.js";
import type { Sweep, SweepTo, SweepTotals } from "../block/ports.js";
import { pause } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockCacher } from "./cacheBlocks.js";
import { isCached } from "./cachedFile.js";
import { ClaimReader, clearDeadClaims, lockBatch, openBatchLock, openSweepLock } from "./claims.js";
import { acquireLock, type FileLock } from "./fileLock.js";
import { blockPath, type StoreLayout } from "./layout.js";
import { isAbsent, storeError } from "./storeError.js";
import type { StoreIndex } from "./storeIndex.js";

export interface SweepParts {
  readonly layout: StoreLayout;
  readonly cacher: BlockCacher;
  readonly index: StoreIndex;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Begins a sweep: from now on claims stay, also those of processes that end.
 *
 * @throws ERR_PSYNC_STORE another sweep runs, or claims/ cannot be used
 */
export async function startSweep(parts: SweepParts): Promise<Sweep> {
  const { layout, clock, log } = parts;
  const locks: FileLock[] = [];
  const close = (): void => {
    for (let lock = locks.pop(); lock; lock = locks.pop()) lock.close();
  };
  try {
    const sweepLock = openSweepLock(layout);
    locks.push(sweepLock);
    const timeoutMs = LIMITS.store.sweepBusyMs;
    await acquireLock(sweepLock, { clock, timeoutMs, busy: () => anotherSweep(layout) });
    const batchLock = openBatchLock(layout);
    locks.push(batchLock);
    await lockBatch(batchLock, clock);
    // Who has ended wrote his lists before, and they are not read yet.
    clearDeadClaims(layout, log);
    batchLock.release();
    const reader = new ClaimReader(layout);
    return {
      take: (hashes, to, { signal, onProgress }) =>
        take({ ...parts, batchLock, reader, to, signal }, hashes, onProgress),
      close,
    };
  } catch (error) {
    close();
    throw storeError("use", layout.claims, error);
  }
}

function anotherSweep({ path }: StoreLayout): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", `another gc or unpin works on the store ${path}`, {
    hint: "wait until it has ended",
  });
}

interface TakeContext extends SweepParts {
  readonly batchLock: FileLock;
  readonly reader: ClaimReader;
  readonly to: SweepTo;
  readonly signal: AbortSignal;
}

async function take(
  context: TakeContext,
  hashes: Iterable<BlockHash>,
  onProgress?: (totals: SweepTotals) => void,
): Promise<SweepTotals> {
  const totals: SweepTotals = { takenCount: 0, takenBytes: 0, droppedCount: 0, claimedCount: 0 };
  const { clock, signal, to } = context;
  // The room for one block in the cache could be made by evicting the one before: each is there before the next.
  const batchCount = to === "cache" ? 1 : LIMITS.store.sweepBatchCount;
  for (const batch of batchesOf(hashes, batchCount)) {
    signal.throwIfAborted();
    await takeBatch(context, batch, totals);
    onProgress?.(totals);
    // Who waits for the lock asks for it now and then; while room is made in the cache it is free anyway.
    if (to === "nowhere") await pause(clock, LIMITS.store.sweepPauseMs, signal);
  }
  return totals;
}

async function takeBatch(
  context: TakeContext,
  hashes: readonly BlockHash[],
  totals: SweepTotals,
): Promise<void> {
  const { layout, cacher, index, clock, batchLock, reader, to } = context;
  const hasRoom = new Map<BlockHash, number>();
  if (to === "cache") {
    // Counted before they are moved, so that the quota holds whenever this process dies.
    for (const hash of hashes) {
      const sizeBytes = keptBytes(layout, hash);
      if (sizeBytes === undefined) continue;
      if (await cacher.makeRoomForKept(hash, sizeBytes)) hasRoom.set(hash, sizeBytes);
    }
  }
  await lockBatch(batchLock, clock);
  try {
    readClaims(layout, reader);
    for (const hash of hashes) {
      const sizeBytes = keptBytes(layout, hash);
      if (sizeBytes === undefined) continue;
      if (reader.hashes.has(hash)) {
        totals.claimedCount += 1;
        continue;
      }
      if (hasRoom.has(hash)) {
        moveToCache(layout, hash);
      } else {
        remove(layout, hash);
        if (to === "cache") totals.droppedCount += 1;
      }
      totals.takenCount += 1;
      totals.takenBytes += sizeBytes;
    }
  } finally {
    batchLock.release();
    // Of those that were not moved the rows go, unless they are cached as well.
    for (const [hash, sizeBytes] of hasRoom) {
      if (isCached(layout, hash)) await cacher.noteMoved(hash, sizeBytes);
      else index.noteGone([hash]);
    }
  }
}

function readClaims({ claims }: StoreLayout, reader: ClaimReader): void {
  try {
    reader.readNew();
  } catch (error) {
    throw storeError("read", claims, error);
  }
}

/** The length of a kept block's file; undefined where there is none, or what is there is no file. */
function keptBytes(layout: StoreLayout, hash: BlockHash): number | undefined {
  const path = blockPath(layout, "kept", hash);
  try {
    const stats = lstatSync(path);
    return stats.isFile() ? stats.size : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw storeError("look at", path, error);
  }
}

function moveToCache(layout: StoreLayout, hash: BlockHash): void {
  const path = blockPath(layout, "kept", hash);
  try {
    renameSync(path, blockPath(layout, "cached", hash));
  } catch (error) {
    throw storeError("move to cache/", path, error);
  }
}

function remove(layout: StoreLayout, hash: BlockHash): void {
  const path = blockPath(layout, "kept", hash);
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw storeError("remove", path, error);
  }
}

function* batchesOf<T>(items: Iterable<T>, batchCount: number): Generator<readonly T[]> {
  let batch: T[] = [];
  for (const item of items) {
    batch.push(item);
    if (batch.length < batchCount) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/**
 * Claims: what a process has kept, or is about to keep, written down before it does so, and held until it ends.
 * Nothing takes a claimed block out of blocks/ (sweep.ts). So a process may promise a block that it found there,
 * although the list that names it is not written yet.
 *
 * ```
 * claims/batch.lock    held while claims are written, and while a sweep reads them and takes a batch of blocks; also
 *                      while the list of seeds is (seedList.ts)
 * claims/sweep.lock    held as long as a sweep runs, from before it reads the lists
 * claims/<id>.claims   the names that a process claims, 32 bytes each
 * claims/<id>.lock     held by that process as long as it has claims; the id begins with its pid
 * ```
 *
 * Why that is enough. Whoever claims a block before a batch of a sweep is seen by that batch; whoever claims it after
 * finds the block gone, and writes it. A process that ended before the sweep began had written its lists by then,
 * so the sweep has read them. One that ends later finds the sweep's lock held, and leaves its claims behind.
 * No clock is asked, and no pid: a claim is dead when its lock can be had. It is not synced, since no process
 * outlives a power cut.
 */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeSync,
  type Stats,
} from "node:fs";
import { join } from "node:path";
import { HASH_BYTES, type BlockHash } from "../block/hash.js";
import { HashSet } from "../block/hashSet.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { acquireLock, openFileLock, type FileLock } from "./fileLock.js";
import { FILE_MODE, type StoreLayout } from "./layout.js";
import { isAbsent, storeError } from "./storeError.js";

const CLAIMS_SUFFIX = ".claims";
const LOCK_SUFFIX = ".lock";
const BATCH_LOCK = "batch.lock";
const SWEEP_LOCK = "sweep.lock";

export interface Claims {
  /**
   * Claims blocks. From its return until `close` nothing takes them out of blocks/.
   *
   * @throws ERR_PSYNC_STORE the claims cannot be written
   * Cost: nothing for what is claimed already; else a lock and a write a batch, some 50 µs, and 100 bytes of memory a name.
   */
  readonly add: (hashes: Iterable<BlockHash>) => Promise<void>;
  /** Gives the claims up: whatever names these blocks has been written. */
  close(): void;
}

export interface ClaimsOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The claims of this process. No file is made before the first one. */
export function createClaims({ layout, clock, log }: ClaimsOptions): Claims {
  const claimed = new HashSet();
  let batchLock: FileLock | undefined;
  let own: OwnClaims | undefined;

  const write = async (fresh: readonly BlockHash[]): Promise<void> => {
    const lock = (batchLock ??= openBatchLock(layout));
    await lockBatch(lock, clock);
    try {
      own ??= makeOwn(layout, log);
      const bytes = Buffer.from(fresh.join(""), "hex");
      append(own, bytes);
    } catch (error) {
      throw storeError("write claims in", layout.claims, error);
    } finally {
      lock.release();
    }
    for (const hash of fresh) claimed.add(hash);
  };

  return {
    async add(hashes) {
      let fresh: BlockHash[] = [];
      for (const hash of hashes) {
        if (!claimed.has(hash)) fresh.push(hash);
        if (fresh.length < LIMITS.store.claimBatchCount) continue;
        await write(fresh);
        fresh = [];
      }
      if (fresh.length > 0) await write(fresh);
    },
    close() {
      try {
        if (own) giveUp(own, layout);
      } catch (error) {
        // They protect blocks for longer than need be, until the next process that keeps clears them.
        log.warn(`cannot remove claims from ${layout.claims}: ${errorMessage(error)}`);
      }
      batchLock?.close();
    },
  };
}

export function openBatchLock(layout: StoreLayout): FileLock {
  return openFileLock(join(layout.claims, BATCH_LOCK));
}

export function openSweepLock(layout: StoreLayout): FileLock {
  return openFileLock(join(layout.claims, SWEEP_LOCK));
}

/** @throws ERR_PSYNC_STORE another process has it for too long */
export async function lockBatch(lock: FileLock, clock: Clock): Promise<void> {
  const timeoutMs = LIMITS.store.claimBusyMs;
  const busy = (): PsyncError =>
    new PsyncError("ERR_PSYNC_STORE", `another process holds ${lock.path} and does not go on`, {
      hint: "`fuser -v` of that file names it; end it, or let it go on",
    });
  await acquireLock(lock, { clock, timeoutMs, busy });
}

interface OwnClaims {
  readonly lock: FileLock;
  readonly path: string;
  readonly descriptor: number;
  sizeBytes: number;
}

/** The batch lock is held: nobody takes the lock of claims that are being made for that of a dead process. */
function makeOwn(layout: StoreLayout, log: Logger): OwnClaims {
  clearDeadUnlessSwept(layout, log);
  const id = `${process.pid}.${randomUUID()}`;
  const lock = openFileLock(join(layout.claims, id + LOCK_SUFFIX));
  try {
    lock.tryAcquire();
    const path = join(layout.claims, id + CLAIMS_SUFFIX);
    return { lock, path, descriptor: openSync(path, "wx", FILE_MODE), sizeBytes: 0 };
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** What a full disk cut off in the middle of a name is written over; whole names before it may have been read. */
function append(own: OwnClaims, bytes: Buffer): void {
  let done = 0;
  try {
    while (done < bytes.length) {
      done += writeSync(own.descriptor, bytes, done, bytes.length - done, own.sizeBytes + done);
    }
  } finally {
    own.sizeBytes += done - (done % HASH_BYTES);
  }
}

/** While a sweep runs they are left to it: it may have read the lists before these were written. */
function giveUp(own: OwnClaims, layout: StoreLayout): void {
  const sweepLock = openSweepLock(layout);
  try {
    if (sweepLock.tryAcquire()) {
      rmSync(own.path, { force: true });
      rmSync(own.lock.path, { force: true });
    }
  } finally {
    closeSync(own.descriptor);
    own.lock.close();
    sweepLock.close();
  }
}

function clearDeadUnlessSwept(layout: StoreLayout, log: Logger): void {
  const sweepLock = openSweepLock(layout);
  try {
    if (sweepLock.tryAcquire()) clearDeadClaims(layout, log);
  } finally {
    sweepLock.close();
  }
}

/** Removes the claims of processes that have ended. Both the batch lock and the sweep lock are held. */
export function clearDeadClaims(layout: StoreLayout, log: Logger): void {
  const names = readdirSync(layout.claims);
  for (const name of names) {
    if (!name.endsWith(LOCK_SUFFIX) || name === BATCH_LOCK || name === SWEEP_LOCK) continue;
    const claims = name.slice(0, -LOCK_SUFFIX.length) + CLAIMS_SUFFIX;
    const lock = openFileLock(join(layout.claims, name));
    try {
      if (!lock.tryAcquire()) continue;
      // The lock goes last: claims without one would stay for ever.
      rmSync(join(layout.claims, claims), { force: true });
      rmSync(lock.path, { force: true });
      log.debug(`removed ${claims}, of a process that has ended`);
    } finally {
      lock.close();
    }
  }
}

/** Every claim that is written now. @throws ERR_PSYNC_STORE */
export function readClaims(layout: StoreLayout): HashSet {
  const reader = new ClaimReader(layout);
  try {
    reader.readNew();
  } catch (error) {
    throw storeError("read", layout.claims, error);
  }
  return reader.hashes;
}

/** Reads claims of all processes, each time what was added since. */
export class ClaimReader {
  readonly hashes = new HashSet();
  readonly #folder: string;
  /** Bytes read of each file. */
  readonly #readBytes = new Map<string, number>();

  constructor(layout: StoreLayout) {
    this.#folder = layout.claims;
  }

  /** Holding the batch lock, it misses none. @throws the system error */
  readNew(): void {
    let names: string[];
    try {
      names = readdirSync(this.#folder);
    } catch (error) {
      // A store that is only looked at need not have the folder.
      if (isAbsent(error)) return;
      throw error;
    }
    for (const name of names) if (name.endsWith(CLAIMS_SUFFIX)) this.#readFile(name);
  }

  #readFile(name: string): void {
    let descriptor: number;
    try {
      // Without O_NONBLOCK a FIFO would hold this thread, the only one there is.
      const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
      descriptor = openSync(join(this.#folder, name), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    } catch (error) {
      if (isAbsent(error)) return;
      throw error;
    }
    try {
      const stats: Stats = fstatSync(descriptor);
      if (!stats.isFile()) throw new Error(`${name} is not a regular file`);
      // A process that was killed may have left a part of a name.
      const endBytes = stats.size - (stats.size % HASH_BYTES);
      const chunk = Buffer.alloc(LIMITS.store.claimBatchCount * HASH_BYTES);
      let at = this.#readBytes.get(name) ?? 0;
      while (at < endBytes) {
        const wanted = Math.min(chunk.length, endBytes - at);
        const readBytes = readSync(descriptor, chunk, 0, wanted, at);
        const wholeBytes = readBytes - (readBytes % HASH_BYTES);
        if (wholeBytes === 0) break;
        for (let start = 0; start < wholeBytes; start += HASH_BYTES) {
          this.hashes.addBytes(chunk, start);
        }
        at += wholeBytes;
      }
      this.#readBytes.set(name, at);
    } finally {
      closeSync(descriptor);
    }
  }
}

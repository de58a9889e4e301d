/**
 * The seeds of a store: which files of the user's are in use, and how the index comes to know their blocks. A seed is
 * in use where the list of the store has it, or where it was named to this process; what the index remembers of
 * others is not asked, since a server must not give out what was once a seed of a mount.
 */
import { setMaxListeners } from "node:events";
import { realpath } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { pause } from "../core/abort.js";
import { createBell } from "../core/bell.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, systemErrorCode } from "../core/errors.js";
import { createExpiringSet } from "../core/expiringSet.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { createRateLimiter } from "../core/rateLimiter.js";
import type { SeedFile, SeedKeeper } from "../block/ports.js";
import { openSeed, type SeedPace } from "./hashSeed.js";
import { indexSeedList } from "./indexSeedList.js";
import type { StoreLayout } from "./layout.js";
import { lostSeeds, type LostSeed } from "./lostSeeds.js";
import type { Quiet } from "./quiet.js";
import { createSeedBlocks, type SeedBlocks } from "./seedBlocks.js";
import { createSeedCalls, NoAnswerError, type SeedCalls } from "./seedCalls.js";
import { createSeedList, keyOf } from "./seedList.js";
import { isSameFile, seedBlockCount, type SeedRow } from "./seedRows.js";
import { SeedBlockWriter } from "./seedBlockWriter.js";
import { walkSeed } from "./seedWalk.js";
import { isAbsent } from "./storeError.js";
import type { StoreIndex } from "./storeIndex.js";

export interface HashSeedsOptions {
  readonly signal: AbortSignal;
  /** Whether those of the store's list are hashed too, or only what `use` named. */
  readonly listed: boolean;
  /** Called with what was read. */
  readonly onBytes?: (sizeBytes: number) => void;
}

export interface StoreSeeds extends SeedKeeper {
  /** Takes blocks also from these files and folders, while the store is open. One that is not there is warned of. */
  use(paths: readonly string[]): Promise<void>;
  /** Takes no blocks from what lies in a folder, whoever named it. @param path absolute, without symlinks */
  exclude(path: string): void;
  /** Looks for blocks of this size too in what `use` named, unless it is under 4 KiB or there are eight sizes already. */
  lookFor(blockSizeBytes: number): void;
  /**
   * Hashes what is new or has changed, at full speed; what cannot be read is logged.
   *
   * @throws ERR_PSYNC_STORE the list of the store cannot be read; the signal's reason
   */
  hash(options: HashSeedsOptions): Promise<void>;
  /** Does the same behind everything else until the store is closed, also with what changes and what is looked for later. */
  hashBehind(): void;
  /** Whether `hashBehind` has something to hash now, so that blocks may yet be found. */
  isHashing(): boolean;
  /** The files of the store's list that lack blocks. @throws ERR_PSYNC_STORE the list cannot be read */
  lost(): Promise<LostSeed[]>;
}

export interface StoreSeedsOptions {
  readonly layout: StoreLayout;
  readonly index: StoreIndex;
  readonly clock: Clock;
  readonly log: Logger;
  readonly quiet: Quiet;
}

/** Where a file is hashed: by which calls, how fast, and for whom. */
interface Hashing {
  readonly calls: SeedCalls;
  readonly pace: SeedPace;
  readonly signal: AbortSignal;
}

/** What may be otherwise in a minute; a file that is somebody else's stays so. */
const PASSING = new Set(["EIO", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "ESTALE", "ETIMEDOUT"]);

export class SeedSet implements StoreSeeds {
  readonly blocks: SeedBlocks;
  readonly #options: StoreSeedsOptions;
  readonly #roots = new Set<string>();
  readonly #excluded = new Set<string>();
  readonly #blockSizes = new Set<number>();
  /** Named paths whose file system did not say yet where they lead. */
  readonly #unresolved = new Set<string>();
  readonly #list;
  readonly #bell;
  readonly #closing = new AbortController();
  readonly #calls: SeedCalls;
  /** Files that this process hashed lately, so that one that goes on changing is not hashed without end. */
  readonly #hashedLately = createExpiringSet({
    memoryMs: LIMITS.seeds.hashAgainMs,
    maxCount: LIMITS.seeds.maxNoted,
  });
  /** Files that were seen to have changed, and when they may be hashed again. */
  readonly #changed = new Map<string, { readonly seed: SeedFile; readonly dueMs: number }>();
  #isNew = true;
  #isHashing = false;
  #behind: Promise<void> | undefined;

  constructor(options: StoreSeedsOptions) {
    const { layout, index, clock, log } = options;
    this.#options = options;
    // All that is done for one block, or hashed, listens.
    setMaxListeners(0, this.#closing.signal);
    this.#list = createSeedList({ layout, clock, log });
    this.#bell = createBell(clock);
    this.#calls = createSeedCalls({ clock, log }).until(this.#closing.signal);
    this.blocks = createSeedBlocks({
      index,
      calls: this.#calls,
      log,
      isClosing: () => this.#closing.signal.aborted,
      isInUse: (seed) => this.#isInUse(seed),
      onChanged: (seed) => {
        this.#onChanged(seed);
      },
    });
  }

  async use(paths: readonly string[]): Promise<void> {
    for (const path of paths) this.#unresolved.add(resolve(path));
    await this.#resolve(this.#calls);
    this.#lookAgain();
  }

  exclude(path: string): void {
    this.#excluded.add(path);
  }

  lookFor(blockSizeBytes: number): void {
    const { minBlockSizeBytes, maxBlockSizes } = LIMITS.seeds;
    const { maxSizeBytes } = LIMITS.block;
    if (this.#blockSizes.has(blockSizeBytes) || this.#blockSizes.size >= maxBlockSizes) return;
    if (blockSizeBytes < minBlockSizeBytes || blockSizeBytes > maxSizeBytes) return;
    this.#blockSizes.add(blockSizeBytes);
    this.#lookAgain();
  }

  async hash({ signal, listed, onBytes }: HashSeedsOptions): Promise<void> {
    const either = AbortSignal.any([signal, this.#closing.signal]);
    setMaxListeners(0, either);
    const goOn = (): Promise<void> => {
      either.throwIfAborted();
      return Promise.resolve();
    };
    const pace: SeedPace = async (pieceBytes) => {
      await goOn();
      onBytes?.(pieceBytes);
    };
    await this.#hashAll({ signal: either, calls: this.#calls.until(either), pace }, listed);
    await this.#sweep(goOn);
  }

  hashBehind(): void {
    this.#behind ??= this.#hashUntilClosed();
  }

  isHashing(): boolean {
    const nowMs = this.#options.clock.nowMs();
    let isDue = this.#isNew;
    for (const { dueMs } of this.#changed.values()) isDue ||= dueMs <= nowMs;
    return this.#behind !== undefined && (this.#isHashing || isDue);
  }

  /** Ends what waits for a seed, and from then on no seed has a block: a file system that hangs must not hold up the end. */
  stop(): void {
    this.#closing.abort(new Error("the store is closed"));
    this.#bell.ring();
  }

  /** Waits for the end of what runs behind the store, once it is stopped. */
  async ended(): Promise<void> {
    await this.#behind;
  }

  async lost(): Promise<LostSeed[]> {
    const { layout, index } = this.#options;
    return lostSeeds(layout, this.#calls, async ({ path, blockSizeBytes }) => {
      const state = await index.readSeeds((rows) => {
        const row = rows.find(path, blockSizeBytes);
        if (row === undefined) return "not hashed";
        if (isHashed(row)) return "hashed";
        return rows.isDoubted(row) ? "misread" : "not hashed";
      });
      return state === "hashed" ? undefined : (state ?? "not hashed");
    });
  }

  begin(file: SeedFile): ReturnType<SeedKeeper["begin"]> {
    const { index } = this.#options;
    const writer = new SeedBlockWriter({ index, file, firstIndex: 0, as: "new" });
    return {
      add: async (hash) => {
        await writer.add(hash);
      },
      keep: async () => {
        await writer.flush();
        await this.#list.add(file);
        await index.changeSeeds((rows) => {
          rows.list(file, rows.listState().round);
        });
      },
    };
  }

  #isInUse({ path, isListed }: SeedRow): boolean {
    if (isBelow(path, this.#excluded)) return false;
    return isListed || isBelow(path, this.#roots);
  }

  #onChanged(seed: SeedRow): void {
    const key = keyOf(seed);
    const isFull = this.#changed.size >= LIMITS.seeds.maxNoted;
    // Whoever asks it for a block says so again.
    if (this.#changed.has(key) || isFull) return;
    const nowMs = this.#options.clock.nowMs();
    const dueMs = nowMs + this.#hashedLately.remainingMs(key, nowMs);
    this.#changed.set(key, { seed, dueMs });
    this.#bell.ring();
  }

  #lookAgain(): void {
    this.#isNew = true;
    this.#bell.ring();
  }

  async #hashUntilClosed(): Promise<void> {
    const { clock, log, quiet } = this.#options;
    const { signal } = this.#closing;
    const { bytesPerSecond, pieceCostBytes, quietWaitMs, retryMs, sweepPauseMs } = LIMITS.seeds;
    const limiter = createRateLimiter({ bytesPerSecond, clock });
    const pace: SeedPace = async (pieceBytes) => {
      await limiter.take(Math.max(pieceBytes, pieceCostBytes), { signal });
      await quiet.wait(quietWaitMs);
      signal.throwIfAborted();
    };
    const hashing: Hashing = { calls: this.#calls, pace, signal };
    const isClosed = (): boolean => signal.aborted;
    let retryAtMs = Infinity;
    while (!isClosed()) {
      const isDue = this.#isNew || retryAtMs <= clock.nowMs();
      let isAll = false;
      try {
        this.#isHashing = true;
        this.#isNew = false;
        isAll = !isDue || (await this.#hashAll(hashing, true));
        isAll = (await this.#hashChanged(hashing)) && isAll;
        this.#isHashing = false;
        await this.#sweep(() => pause(clock, sweepPauseMs, signal));
      } catch (error) {
        this.#isHashing = false;
        if (!isClosed()) log.warn(`seeds are not hashed: ${errorMessage(error)}`);
        isAll = false;
      }
      if (!isAll) retryAtMs = clock.nowMs() + retryMs;
      else if (isDue) retryAtMs = Infinity;
      let untilMs = retryAtMs;
      for (const { dueMs } of this.#changed.values()) untilMs = Math.min(untilMs, dueMs);
      if (!isClosed()) await this.#bell.wait(untilMs);
    }
  }

  /** @returns whether all of them were, of those whose time has come */
  async #hashChanged(hashing: Hashing): Promise<boolean> {
    let isAll = true;
    for (const [key, { seed, dueMs }] of this.#changed) {
      if (dueMs > this.#options.clock.nowMs()) continue;
      this.#changed.delete(key);
      isAll = (await this.#hashFile(seed.path, seed.blockSizeBytes, hashing)) && isAll;
    }
    return isAll;
  }

  /** @returns false: something was skipped that may be hashed later */
  async #hashAll(hashing: Hashing, listed: boolean): Promise<boolean> {
    const { layout, index, log } = this.#options;
    const { batchCount } = LIMITS.seeds;
    const { signal, calls } = hashing;
    let isAll = await this.#resolve(calls);
    if (listed) isAll = (await indexSeedList({ layout, index, signal })) && isAll;
    const excluded = new Set([...this.#excluded, await realpath(layout.path)]);
    const onFailed = (path: string, error: unknown): void => {
      if (this.#noteFailure(path, error)) isAll = false;
    };
    for (const root of this.#roots) {
      for await (const path of walkSeed(root, { excluded, calls, log, signal, onFailed })) {
        for (const blockSizeBytes of this.#blockSizes) {
          isAll = (await this.#hashFile(path, blockSizeBytes, hashing)) && isAll;
        }
      }
    }
    for (let lastId = 0; listed;) {
      const rows = await index.readSeeds((seeds) => seeds.listedAfter(lastId, batchCount));
      if (!rows) return false;
      for (const { path, blockSizeBytes } of rows) {
        signal.throwIfAborted();
        isAll = (await this.#hashFile(path, blockSizeBytes, hashing)) && isAll;
      }
      const last = rows.at(-1);
      if (!last) break;
      lastId = last.id;
    }
    return isAll;
  }

  /** Finds out where named paths lead. @returns false: of some it may be found out later */
  async #resolve(calls: SeedCalls): Promise<boolean> {
    for (const path of this.#unresolved) {
      try {
        this.#roots.add(await calls.run(path, () => realpath(path)));
      } catch (error) {
        if (this.#noteFailure(path, error)) continue;
      }
      this.#unresolved.delete(path);
    }
    return this.#unresolved.size === 0;
  }

  /** @returns whether it may pass */
  #noteFailure(path: string, error: unknown): boolean {
    // That a file system does not answer is told once, not for each path on it.
    if (error instanceof NoAnswerError) return true;
    this.#options.log.warn(`no seeds are taken from ${path}: ${errorMessage(error)}`);
    return PASSING.has(systemErrorCode(error) ?? "");
  }

  /** Removes from the index what is gone. @param rest waited for after each few rows; throws the reason to stop */
  async #sweep(rest: () => Promise<void>): Promise<void> {
    const { index } = this.#options;
    const { batchCount, maxRemembered } = LIMITS.seeds;
    await index.changeSeeds((rows) => {
      rows.trim(maxRemembered, batchCount);
    });
    while ((await index.changeSeeds((rows) => rows.sweep(batchCount))) === true) await rest();
  }

  /** Hashes a file that is new or has changed, from where it was stopped. @returns false: it may be possible later */
  async #hashFile(
    path: string,
    blockSizeBytes: number,
    { calls, pace, signal }: Hashing,
  ): Promise<boolean> {
    const { index, clock } = this.#options;
    try {
      if (isBelow(path, this.#excluded)) return true;
      const stats = await calls.lstat(path);
      if (!stats.isFile()) return true;
      const now = { sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs };
      const known = await index.readSeeds((rows) => rows.find(path, blockSizeBytes));
      if (known && isSameFile(known, now) && isHashed(known)) return true;
      const seed = await openSeed(path, blockSizeBytes, calls);
      if (!seed) return true;
      try {
        const { file } = seed;
        const row = await index.changeSeeds((rows) => rows.begin(file));
        if (!row) return false;
        const firstIndex = row.doneCount;
        const writer = new SeedBlockWriter({ index, file, firstIndex, as: "confirmed" });
        let isTaken: boolean | undefined = true;
        try {
          for await (const hash of seed.hashes(firstIndex, pace)) {
            isTaken = await writer.add(hash);
            if (isTaken !== true) break;
          }
        } finally {
          isTaken &&= await writer.flush();
        }
        return isTaken !== undefined;
      } finally {
        seed.close();
        this.#hashedLately.add(keyOf({ ...now, path, blockSizeBytes }), clock.nowMs());
      }
    } catch (error) {
      signal.throwIfAborted();
      if (isAbsent(error)) return true;
      await pace(0);
      return !this.#noteFailure(path, error);
    }
  }
}

function isBelow(path: string, folders: ReadonlySet<string>): boolean {
  for (const folder of folders) {
    if (path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)) {
      return true;
    }
  }
  return false;
}

function isHashed(row: SeedRow): boolean {
  return row.doneCount >= seedBlockCount(row);
}

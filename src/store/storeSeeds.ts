/**
 * The seeds of a store: which files of the user's are in use, and how the index comes to know their blocks. A seed is
 * in use where the list of the store has it, or where it was named to this process; what the index remembers of
 * others is not asked, since a server must not give out what was once a seed of a mount.
 */
import { lstat, realpath } from "node:fs/promises";
import { sep } from "node:path";
import { pause } from "../core/abort.js";
import { createBell } from "../core/bell.js";
import type { Clock } from "../core/clock.js";
import { errorMessage } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { createRateLimiter } from "../core/rateLimiter.js";
import type { SeedFile, SeedKeeper } from "../block/ports.js";
import { openSeed, type SeedPace } from "./hashSeed.js";
import type { StoreLayout } from "./layout.js";
import type { Quiet } from "./quiet.js";
import { createSeedBlocks, type SeedBlocks } from "./seedBlocks.js";
import {
  createSeedList,
  keyOf,
  readSeedList,
  seedListStamp,
  seedState,
  type SeedState,
} from "./seedList.js";
import { isSameFile, seedBlockCount, type SeedRow } from "./seedRows.js";
import { SeedBlockWriter } from "./seedBlockWriter.js";
import { walkSeed } from "./seedWalk.js";
import { isAbsent } from "./storeError.js";
import type { StoreIndex } from "./storeIndex.js";

/** A seed of the store's list that cannot give all its blocks. */
export interface LostSeed {
  readonly path: string;
  /** `not hashed`: the index was lost, or the file changed; a mount or a server hashes it behind its work. */
  readonly state: Exclude<SeedState, "as it was"> | "not hashed";
}

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
  /** Aborted when the store closes. */
  readonly signal: AbortSignal;
}

export class SeedSet implements StoreSeeds {
  readonly blocks: SeedBlocks;
  readonly #options: StoreSeedsOptions;
  readonly #roots = new Set<string>();
  readonly #excluded = new Set<string>();
  readonly #blockSizes = new Set<number>();
  readonly #list;
  readonly #bell;
  /** When each file was hashed last by this process, so that one that goes on changing is not hashed without end. */
  readonly #hashedAtMs = new Map<string, number>();
  /** Files that were seen to have changed, and when they may be hashed again. */
  readonly #changed = new Map<string, { readonly seed: SeedFile; readonly dueMs: number }>();
  #isNew = true;
  #isHashing = false;
  #behind: Promise<void> | undefined;

  constructor(options: StoreSeedsOptions) {
    const { layout, index, clock, log } = options;
    this.#options = options;
    this.#list = createSeedList(layout);
    this.#bell = createBell(clock);
    this.blocks = createSeedBlocks({
      index,
      log,
      isInUse: (seed) => this.#isInUse(seed),
      onChanged: (seed) => {
        this.#onChanged(seed);
      },
    });
  }

  async use(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      try {
        this.#roots.add(await realpath(path));
      } catch (error) {
        this.#options.log.warn(`no seeds are taken from ${path}: ${errorMessage(error)}`);
      }
    }
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
    const either = AbortSignal.any([signal, this.#options.signal]);
    await this.#hashAll({
      signal: either,
      listed,
      pace: (pieceBytes) => {
        either.throwIfAborted();
        onBytes?.(pieceBytes);
        return Promise.resolve();
      },
    });
    await this.#sweep(() => {
      either.throwIfAborted();
      return Promise.resolve();
    });
  }

  hashBehind(): void {
    this.#behind ??= this.#hashUntilClosed();
  }

  isHashing(): boolean {
    const nowMs = this.#options.clock.nowMs();
    const isDue = this.#isNew || [...this.#changed.values()].some(({ dueMs }) => dueMs <= nowMs);
    return this.#behind !== undefined && (this.#isHashing || isDue);
  }

  /** Waits for the end of what runs behind the store, once its signal is aborted. */
  async ended(): Promise<void> {
    this.#bell.ring();
    await this.#behind;
  }

  async lost(): Promise<LostSeed[]> {
    const { layout, index } = this.#options;
    return lostSeeds(layout, async ({ path, blockSizeBytes }) => {
      const row = await index.readSeeds((rows) => rows.find(path, blockSizeBytes));
      return row !== undefined && isHashed(row);
    });
  }

  begin(file: SeedFile): ReturnType<SeedKeeper["begin"]> {
    const { index } = this.#options;
    const writer = new SeedBlockWriter(index, file);
    return {
      add: (hash) => writer.add(hash),
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
    if (this.#changed.has(key)) return;
    const hashedAtMs = this.#hashedAtMs.get(key) ?? Number.NEGATIVE_INFINITY;
    this.#changed.set(key, { seed, dueMs: hashedAtMs + LIMITS.seeds.hashAgainMs });
    this.#bell.ring();
  }

  #lookAgain(): void {
    this.#isNew = true;
    this.#bell.ring();
  }

  async #hashUntilClosed(): Promise<void> {
    const { clock, log, quiet, signal } = this.#options;
    const { bytesPerSecond, pieceCostBytes, quietWaitMs, sweepPauseMs } = LIMITS.seeds;
    const limiter = createRateLimiter({ bytesPerSecond, clock });
    const pace: SeedPace = async (pieceBytes) => {
      await limiter.take(Math.max(pieceBytes, pieceCostBytes), { signal });
      await quiet.wait(quietWaitMs);
      signal.throwIfAborted();
    };
    const isClosed = (): boolean => signal.aborted;
    while (!isClosed()) {
      try {
        this.#isHashing = true;
        if (this.#isNew) {
          this.#isNew = false;
          await this.#hashAll({ signal, listed: true, pace });
        }
        for (const [key, { seed, dueMs }] of this.#changed) {
          if (dueMs > clock.nowMs()) continue;
          this.#changed.delete(key);
          await this.#hashFile(seed.path, seed.blockSizeBytes, pace);
        }
        this.#isHashing = false;
        await this.#sweep(() => pause(clock, sweepPauseMs, signal));
      } catch (error) {
        this.#isHashing = false;
        if (!isClosed()) log.warn(`seeds are not hashed: ${errorMessage(error)}`);
      }
      const dueMs = [...this.#changed.values()].map((change) => change.dueMs);
      if (!isClosed()) await this.#bell.wait(Math.min(...dueMs));
    }
  }

  async #hashAll({
    signal,
    listed,
    pace,
  }: {
    readonly signal: AbortSignal;
    readonly listed: boolean;
    readonly pace: SeedPace;
  }): Promise<void> {
    const { layout, index, log } = this.#options;
    const { batchCount } = LIMITS.seeds;
    if (listed) await this.#readList(signal);
    const excluded = new Set([...this.#excluded, await realpath(layout.path)]);
    for (const root of this.#roots) {
      for await (const path of walkSeed(root, { excluded, log, signal })) {
        for (const blockSizeBytes of this.#blockSizes) {
          await this.#hashFile(path, blockSizeBytes, pace);
        }
      }
    }
    for (let lastId = 0; listed;) {
      const rows = await index.readSeeds((seeds) => seeds.listedAfter(lastId, batchCount));
      for (const { path, blockSizeBytes } of rows ?? []) {
        signal.throwIfAborted();
        await this.#hashFile(path, blockSizeBytes, pace);
      }
      const last = rows?.at(-1);
      if (!last) break;
      lastId = last.id;
    }
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

  /** Makes the index know the list as it is; at most one statement a line, and none where it did not change. */
  async #readList(signal: AbortSignal): Promise<void> {
    const { layout, index } = this.#options;
    for (;;) {
      const stamp = await seedListStamp(layout);
      const state = await index.readSeeds((rows) => rows.listState());
      if (!state || state.stamp === stamp) return;
      const round = state.round + 1;
      const add = (batch: readonly SeedFile[]) =>
        index.changeSeeds((rows) => {
          for (const file of batch) rows.list(file, round);
        });
      let batch: SeedFile[] = [];
      for await (const file of readSeedList(layout)) {
        signal.throwIfAborted();
        batch.push(file);
        if (batch.length < LIMITS.seeds.batchCount) continue;
        await add(batch);
        batch = [];
      }
      await add(batch);
      // What another process added meanwhile is read in the next round, before anything is taken for unlisted.
      if ((await seedListStamp(layout)) !== stamp) continue;
      const isDone = await index.changeSeeds((rows) => {
        rows.endRound(stamp, round);
        return true;
      });
      if (isDone !== true) return;
    }
  }

  /** Hashes a file that is new or has changed, from where it was stopped. */
  async #hashFile(path: string, blockSizeBytes: number, pace: SeedPace): Promise<void> {
    const { index, log, clock } = this.#options;
    try {
      if (isBelow(path, this.#excluded)) return;
      const stats = await lstat(path, { bigint: true });
      if (!stats.isFile()) return;
      const now = { sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs };
      const known = await index.readSeeds((rows) => rows.find(path, blockSizeBytes));
      if (known && isSameFile(known, now) && isHashed(known)) return;
      const seed = await openSeed(path, blockSizeBytes);
      if (!seed) return;
      try {
        const row = await index.changeSeeds((rows) => rows.begin(seed.file));
        if (!row) return;
        const writer = new SeedBlockWriter(index, seed.file, row.doneCount);
        try {
          for await (const hash of seed.hashes(row.doneCount, pace)) await writer.add(hash);
        } finally {
          await writer.flush();
        }
      } finally {
        await seed.close();
        this.#hashedAtMs.set(keyOf({ ...now, path, blockSizeBytes }), clock.nowMs());
      }
    } catch (error) {
      if (this.#options.signal.aborted) throw error;
      if (isAbsent(error)) return;
      await pace(0);
      log.warn(`the seed ${path} is not hashed: ${errorMessage(error)}`);
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

/** The files of the list that lack blocks. @param isKnown whether the index has all blocks of one */
export async function lostSeeds(
  layout: StoreLayout,
  isKnown: (file: SeedFile) => Promise<boolean>,
): Promise<LostSeed[]> {
  const files = new Map<string, SeedFile>();
  for await (const file of readSeedList(layout)) files.set(keyOf(file), file);
  const lost: LostSeed[] = [];
  for (const file of files.values()) {
    const state = await seedState(file);
    if (state !== "as it was") lost.push({ path: file.path, state });
    else if (!(await isKnown(file))) lost.push({ path: file.path, state: "not hashed" });
  }
  return lost;
}

/**
 * A check of all blocks of a store, and their repair: in which order, what is found, and how far it is. How one block is
 * judged stands in upkeep.ts, how it is made right in repairBlocks.ts.
 */
import { setMaxListeners } from "node:events";
import type { BlockPlace, BlockSource } from "../block/ports.js";
import type { Clock } from "../core/clock.js";
import { formatCount } from "../core/bytes.js";
import { inParallel } from "../core/inParallel.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { FsckFile, FsckProgress, PlacedHash } from "./fsckFile.js";
import type { Store } from "./openStore.js";
import { createRepairer, type Repair } from "./repairBlocks.js";
import type { CorrectedRows } from "./correctRows.js";
import type { LostSeed } from "./lostSeeds.js";

export interface FsckParts {
  readonly store: Store;
  /** Where bad blocks are had again; undefined: nowhere. */
  readonly source: BlockSource | undefined;
  readonly clock: Clock;
  readonly progressFile: FsckFile;
  readonly log: Logger;
}

export interface FsckOptions {
  /** Nothing is changed unless it is set; the store is open for writing where it is. */
  readonly repair: boolean;
  /** Blocks read at once, 1..LIMITS.check.maxJobs. */
  readonly jobs: number;
  /** Begins anew also where another run was interrupted. */
  readonly restart: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: FsckSoFar) => void;
}

export interface FsckSoFar {
  readonly checkedCount: number;
  /** Blocks that were there at the start. */
  readonly totalCount: number;
  readonly checkedBytes: number;
}

/** A block that was not as it should be. */
export interface Problem extends PlacedHash {
  readonly why: string;
  /**
   * `bad`: found, and left as it is. `restored`: right again. `lost`: no valid copy is in its place any more.
   * `left`: it could not be set aside, or not be read.
   */
  readonly outcome: "bad" | "restored" | "lost" | "left";
  /** Of a lost block: what each server that was asked did. */
  readonly servers: readonly string[];
}

export interface FsckReport {
  readonly repair: boolean;
  /** With those that an interrupted run had checked. */
  readonly checkedCount: number;
  /** In those that are good: how long one is that cannot be read, nobody knows. */
  readonly checkedBytes: number;
  readonly problems: readonly Problem[];
  /** More problems than are named. */
  readonly unnamedCount: number;
  /** Files of `export --no-copy` whose blocks are lacking: the files are the user's, and this is no fault of the store. */
  readonly lostSeeds: readonly LostSeed[];
  /** Paths in the store that are no blocks', and left as they are. */
  readonly strangeNames: readonly string[];
  /** Removed, where it repairs. */
  readonly leftTempFileCount: number;
  /** null where it does not repair, or the index does not answer. */
  readonly index: CorrectedRows | null;
}

const PLACES = ["kept", "cached"] as const;
const FOLDERS: Readonly<Record<BlockPlace, string>> = { kept: "blocks", cached: "cache" };

/**
 * Reads and checks every block of the store.
 *
 * @throws ERR_PSYNC_STORE the store cannot be listed, or what was had again not be written; the signal's reason, and
 *   then the next run goes on where this one was
 * Cost: reads the whole store; memory of a slice of names and of what is bad. Source: docs/semantics.md, FSCK-1 to 3.
 */
export async function fsck(parts: FsckParts, options: FsckOptions): Promise<FsckReport> {
  const run = new FsckRun(parts, options);
  try {
    return await run.check();
  } catch (error) {
    await run.saveProgress();
    throw error;
  }
}

class FsckRun {
  readonly #parts: FsckParts;
  readonly #options: FsckOptions;
  readonly #problems = new Map<string, Problem>();
  #unnamedCount = 0;
  /** What was begun and not finished: after a break it has to be looked at again. */
  readonly #underWay = new Map<string, PlacedHash>();
  /** What an interrupted run left to be looked at again. */
  readonly #suspects = new Map<string, PlacedHash>();
  #place: BlockPlace = "kept";
  #after = "";
  #checkedCount = 0;
  #checkedBytes = 0;
  #totalCount = 0;
  #savedMs: number;
  readonly #repairer: ReturnType<typeof createRepairer>;

  constructor(parts: FsckParts, options: FsckOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#savedMs = parts.clock.nowMs();
    const { store, source, clock } = parts;
    this.#repairer = createRepairer({ store, source, fetchesCached: true, clock });
    setMaxListeners(0, options.signal);
  }

  async check(): Promise<FsckReport> {
    const { store, progressFile } = this.#parts;
    const { repair, jobs, signal } = this.#options;
    const { upkeep } = store;
    const strangeNames: string[] = [];
    for (const place of PLACES) {
      const { blockCount, strangeNames: names } = await upkeep.survey(place);
      this.#totalCount += blockCount;
      strangeNames.push(...names.map((name) => `${FOLDERS[place]}/${name}`));
    }
    await this.#resume();
    await inParallel([...this.#suspects.values()], jobs, (suspect) => this.#checkOne(suspect));
    for (const place of PLACES.slice(PLACES.indexOf(this.#place))) {
      if (place !== this.#place) this.#after = "";
      this.#place = place;
      for await (const slice of upkeep.inOrder(place, this.#after)) {
        await inParallel(slice, jobs, async (hash) => {
          signal.throwIfAborted();
          this.#after = hash;
          await this.#checkOne({ place, hash });
          await this.#saveNowAndThen();
        });
      }
    }
    await this.#checkLost();
    const index = repair ? await upkeep.rebuildIndex(signal) : undefined;
    const leftTempFileCount = await upkeep.leftTempFiles();
    // One that is not hashed yet lacks nothing that a mount or a server would not find.
    const lostSeeds = (await store.seeds.lost()).filter(({ state }) => state !== "not hashed");
    await progressFile.remove();
    return {
      repair,
      checkedCount: this.#checkedCount,
      checkedBytes: this.#checkedBytes,
      problems: [...this.#problems.values()].sort(byName),
      unnamedCount: this.#unnamedCount,
      lostSeeds,
      strangeNames,
      leftTempFileCount,
      index: index ?? null,
    };
  }

  /**
   * Of a run that checked nothing yet there is nothing to save, and what an earlier one saved stays. Neither is one with
   * more problems than it names: those that are only counted would be forgotten.
   */
  async saveProgress(): Promise<void> {
    if (this.#checkedCount === 0 || this.#unnamedCount > 0) return;
    const unrepaired = [...this.#problems.values()].filter(({ outcome }) => outcome !== "restored");
    const suspects = new Map([...this.#suspects, ...this.#underWay]);
    for (const { place, hash } of unrepaired) suspects.set(keyOf({ place, hash }), { place, hash });
    const progress: FsckProgress = {
      place: this.#place,
      after: this.#after,
      // The next run counts the suspects when it looks at them.
      checkedCount: this.#checkedCount - unrepaired.length,
      checkedBytes: this.#checkedBytes,
      suspects: [...suspects.values()],
    };
    await this.#parts.progressFile.save(progress);
  }

  async #resume(): Promise<void> {
    const { progressFile, log } = this.#parts;
    if (this.#options.restart) {
      await progressFile.remove();
      return;
    }
    const saved = await progressFile.load();
    if (!saved) return;
    const minutes = Math.round(saved.ageMs / 60_000);
    log.info(
      `going on where a check was interrupted ${minutes} min ago, after ${formatCount(saved.checkedCount, "block")}; ` +
        "--restart begins anew",
    );
    this.#place = saved.place;
    this.#after = saved.after;
    this.#checkedCount = saved.checkedCount;
    this.#checkedBytes = saved.checkedBytes;
    for (const suspect of saved.suspects) this.#suspects.set(keyOf(suspect), suspect);
  }

  async #saveNowAndThen(): Promise<void> {
    const nowMs = this.#parts.clock.nowMs();
    if (nowMs - this.#savedMs < LIMITS.check.saveMs) return;
    this.#savedMs = nowMs;
    await this.saveProgress();
  }

  async #checkOne(placed: PlacedHash): Promise<void> {
    const { signal, repair } = this.#options;
    signal.throwIfAborted();
    const { place, hash } = placed;
    this.#underWay.set(keyOf(placed), placed);
    const judged = await this.#parts.store.upkeep.judge(place, hash);
    if (judged.kind === "good") this.#checkedBytes += judged.block.bytes.length;
    if (judged.kind === "unreadable") {
      this.#note(placed, { why: judged.why, outcome: "left", servers: [] });
    }
    if (judged.kind === "bad") {
      const { why } = judged;
      if (repair) {
        const repaired = await this.#repairer.repair({ place, hash, judged }, signal);
        this.#noteRepair(placed, why, repaired);
      } else {
        this.#note(placed, { why, outcome: "bad", servers: [] });
      }
    }
    this.#underWay.delete(keyOf(placed));
    this.#suspects.delete(keyOf(placed));
    // One that was evicted meanwhile was there at the start, and is done with.
    this.#checkedCount += 1;
    this.#report();
  }

  /** Kept blocks that whoever read them set aside, in this run or any time before. */
  async #checkLost(): Promise<void> {
    const { signal, repair, jobs } = this.#options;
    const lost = await this.#parts.store.upkeep.lostBlocks();
    await inParallel(lost, jobs, async (block) => {
      const { hash } = block;
      signal.throwIfAborted();
      const placed = { place: "kept", hash } as const;
      if (this.#problems.has(keyOf(placed))) return;
      if (repair) {
        this.#noteRepair(placed, SET_ASIDE, await this.#repairer.restore(block, signal));
      } else {
        this.#note(placed, { why: SET_ASIDE, outcome: "lost", servers: [] });
      }
    });
    // Those that are kept again are no longer marked as lost.
    if (repair && lost.length > 0) await this.#parts.store.upkeep.lostBlocks();
  }

  #noteRepair(placed: PlacedHash, why: string, { outcome, servers }: Repair): void {
    if (outcome !== "gone") this.#note(placed, { why, outcome, servers });
  }

  #note(placed: PlacedHash, found: Omit<Problem, keyof PlacedHash>): void {
    if (this.#problems.size >= LIMITS.check.maxNamed) this.#unnamedCount += 1;
    else this.#problems.set(keyOf(placed), { ...placed, ...found });
  }

  #report(): void {
    this.#options.onProgress?.({
      checkedCount: this.#checkedCount,
      totalCount: Math.max(this.#totalCount, this.#checkedCount),
      checkedBytes: this.#checkedBytes,
    });
  }
}

const SET_ASIDE = "was kept, and was found bad and set aside before";

function keyOf({ place, hash }: PlacedHash): string {
  return `${place}/${hash}`;
}

function byName(a: Problem, b: Problem): number {
  return keyOf(a) < keyOf(b) ? -1 : 1;
}

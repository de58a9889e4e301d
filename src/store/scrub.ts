/**
 * Checks the blocks of an open store in idle time, one after the other, for as long as it is open. When and how fast
 * stands in scrubPlan.ts. What is bad is set aside and logged; what was kept is had again.
 */
import { randomUUID } from "node:crypto";
import type { BlockHash } from "../block/hash.js";
import type { BlockPlace, BlockSource } from "../block/ports.js";
import { pause } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { errorMessage } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { Store } from "./openStore.js";
import { createRepairer, type Repair, type Repairer } from "./repairBlocks.js";
import {
  formatNote,
  parseNote,
  pauseAfterMs,
  planTurn,
  scrubBytesPerSecond,
  waitForReadersMs,
  type Readers,
  type ScrubNote,
  type Turn,
} from "./scrubPlan.js";

export interface ScrubParts {
  readonly store: Pick<Store, "blocks" | "upkeep" | "restore">;
  /** Where kept blocks are had again; undefined: nowhere. */
  readonly source: BlockSource | undefined;
  readonly readers: Readers;
  readonly clock: Clock;
  /** The time of day, in ms since 1970. */
  readonly nowUnixMs: () => number;
  readonly log: Logger;
}

export interface Scrub {
  /** Ends it where it is, and notes the place. What is being read is waited for. */
  close(): Promise<void>;
}

const NOTE = "scrub";
const PLACES = ["kept", "cached"] as const;

/**
 * Starts to check a store's blocks behind whoever uses it. A store that is open for reading only is left alone as long
 * as it is.
 *
 * Cost: a block's memory; its bytes are hashed off this thread; a note in the index each LIMITS.scrub.saveMs.
 * Source: docs/semantics.md, SCRUB-1 and 2.
 */
export function startScrub(parts: ScrubParts): Scrub {
  const closing = new AbortController();
  const run = new ScrubRun(parts, closing.signal);
  const ended = run.goOn().catch((error: unknown) => {
    if (!closing.signal.aborted)
      parts.log.error(`checking the store ended: ${errorMessage(error)}`);
  });
  return {
    async close() {
      closing.abort(new Error("the store is closed"));
      await ended;
    },
  };
}

class ScrubRun {
  readonly #parts: ScrubParts;
  readonly #signal: AbortSignal;
  readonly #owner = randomUUID();

  constructor(parts: ScrubParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  /** @throws the signal's reason */
  async goOn(): Promise<never> {
    const { clock, log } = this.#parts;
    const { startAfterMs, lookAgainMs } = LIMITS.scrub;
    await pause(clock, startAfterMs, this.#signal);
    for (;;) {
      let waitMs: number = lookAgainMs;
      try {
        if (!this.#parts.store.upkeep.isReadOnly) waitMs = Math.min(await this.#turn(), waitMs);
      } catch (error) {
        this.#signal.throwIfAborted();
        log.warn(`the store's blocks cannot be checked now: ${errorMessage(error)}`);
      }
      await pause(clock, waitMs, this.#signal);
    }
  }

  /** @returns how long until the next one is due, as far as is known */
  async #turn(): Promise<number> {
    await this.#restoreLost(this.#createRepairer());
    const turn = await this.#takeTurn();
    if (turn.kind === "wait") return turn.waitMs;
    await this.#pass(turn.note, turn.isNewPass);
    return Infinity;
  }

  async #takeTurn(): Promise<Turn> {
    // Unless the index answers: without it nobody knows who else checks.
    let turn: Turn = { kind: "wait", waitMs: LIMITS.scrub.lookAgainMs };
    await this.#parts.store.upkeep.changeNote(NOTE, (text) => {
      turn = planTurn(text, { owner: this.#owner, nowUnixMs: this.#parts.nowUnixMs() });
      return turn.kind === "go" ? formatNote(turn.note) : undefined;
    });
    return turn;
  }

  /** Goes on with a pass until it is done, or another process has taken over. */
  async #pass(begun: ScrubNote, isNew: boolean): Promise<void> {
    const { upkeep } = this.#parts.store;
    const { clock } = this.#parts;
    const { sliceCount, saveMs } = LIMITS.scrub;
    let note = isNew ? await this.#withExpectation(begun) : begun;
    const bytesPerSecond = scrubBytesPerSecond(note.expectedBytes);
    let savedMs = clock.nowMs();
    let warnedOfUnreadable = false;
    try {
      for (const place of PLACES.slice(PLACES.indexOf(note.place))) {
        if (place !== note.place) note = { ...note, place, after: "" };
        for await (const slice of upkeep.inOrder(place, note.after, sliceCount)) {
          // Anew each time: servers that were away an hour ago are asked again.
          const repairer = this.#createRepairer();
          await this.#restoreLost(repairer);
          for (const hash of slice) {
            await this.#untilIdle();
            const startMs = clock.nowMs();
            const { sizeBytes, unreadable } = await this.#checkOne(place, hash, repairer);
            if (unreadable !== undefined && !warnedOfUnreadable) {
              warnedOfUnreadable = true;
              this.#parts.log.warn(`block ${hash} cannot be read: ${unreadable}`);
            }
            note = { ...note, after: hash, bytes: note.bytes + sizeBytes };
            const nowMs = clock.nowMs();
            if (nowMs - savedMs >= saveMs) {
              savedMs = nowMs;
              if (!(await this.#save(note))) return;
            }
            const tookMs = nowMs - startMs;
            await pause(clock, pauseAfterMs({ sizeBytes, tookMs, bytesPerSecond }), this.#signal);
          }
        }
      }
      note = { ...note, isDone: true };
    } finally {
      await this.#save(note, { release: true });
    }
  }

  /** A first pass does not know how much there is; names are counted, and taken for whole blocks. */
  async #withExpectation(note: ScrubNote): Promise<ScrubNote> {
    let blockCount = 0;
    for (const place of PLACES) {
      blockCount += (await this.#parts.store.upkeep.survey(place)).blockCount;
    }
    return {
      ...note,
      expectedBytes: note.expectedBytes || blockCount * LIMITS.block.defaultSizeBytes,
    };
  }

  async #checkOne(
    place: BlockPlace,
    hash: BlockHash,
    repairer: Repairer,
  ): Promise<{ readonly sizeBytes: number; readonly unreadable?: string }> {
    const judged = await this.#parts.store.upkeep.judge(place, hash);
    switch (judged.kind) {
      case "absent":
        return { sizeBytes: 0 };
      case "good":
        return { sizeBytes: judged.block.bytes.length };
      case "unreadable":
        return { sizeBytes: 0, unreadable: judged.why };
      case "bad": {
        const repaired = await this.#orWarn(hash, () =>
          repairer.repair({ place, hash, judged }, this.#signal),
        );
        if (place === "kept" && repaired) this.#logKept(hash, repaired.outcome);
        return { sizeBytes: LIMITS.block.defaultSizeBytes };
      }
    }
  }

  /** What was kept and was set aside, by whoever read it. */
  async #restoreLost(repairer: Repairer): Promise<void> {
    const { upkeep } = this.#parts.store;
    const lost = await upkeep.lostBlocks();
    let restoredCount = 0;
    for (const block of lost) {
      const { hash } = block;
      await this.#untilIdle();
      const repaired = await this.#orWarn(hash, () => repairer.restore(block, this.#signal));
      if (repaired?.outcome !== "restored") continue;
      restoredCount += 1;
      this.#logKept(hash, "restored");
    }
    // Those that are kept again are no longer marked as lost.
    if (restoredCount > 0) await upkeep.lostBlocks();
  }

  #createRepairer(): Repairer {
    const { store, source, clock } = this.#parts;
    return createRepairer({ store, source, fetchesCached: false, clock });
  }

  /** One block that cannot be written must not keep all others from being looked at. */
  async #orWarn(hash: BlockHash, work: () => Promise<Repair>): Promise<Repair | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#parts.log.warn(`block ${hash} cannot be repaired now: ${errorMessage(error)}`);
      return undefined;
    }
  }

  #logKept(hash: BlockHash, outcome: Repair["outcome"]): void {
    const { log } = this.#parts;
    if (outcome === "restored") log.info(`kept block ${hash} was bad, and is right again`);
    else if (outcome !== "gone") {
      log.warn(`kept block ${hash} is bad, and nobody has it now; psync fsck --repair asks again`);
    }
  }

  async #untilIdle(): Promise<void> {
    const { clock, readers } = this.#parts;
    for (;;) {
      const waitMs = waitForReadersMs(readers, clock.nowMs());
      if (waitMs <= 0) break;
      await pause(clock, waitMs, this.#signal);
    }
    this.#signal.throwIfAborted();
  }

  /** @returns whether it is this process's turn still; an index that does not answer ends it */
  async #save(note: ScrubNote, { release = false } = {}): Promise<boolean> {
    const { store, nowUnixMs } = this.#parts;
    return store.upkeep.changeNote(NOTE, (text) => {
      const stored = parseNote(text);
      if (stored && stored.owner !== this.#owner) return undefined;
      return formatNote({
        ...note,
        leaseEndUnixMs: release ? 0 : nowUnixMs() + LIMITS.scrub.leaseMs,
      });
    });
  }
}

/**
 * One bad block made right: from another copy in the store, or from servers, and where nobody has it, set aside.
 * What is kept stays kept: its file is replaced in one rename wherever that can be.
 */
import type { BlockHash } from "../block/hash.js";
import type { BlockPlace, BlockSource } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import type { Clock } from "../core/clock.js";
import { isBlockMissing, isPsyncError, type PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Store } from "./openStore.js";
import type { Bad, LostBlock } from "./upkeep.js";

/** `gone`: it went away by itself. `lost`: no valid copy is in its place. `left`: the bad file is still there. */
export interface Repair {
  readonly outcome: "restored" | "gone" | "lost" | "left";
  /** Of a lost block: what each server did. */
  readonly servers: readonly string[];
}

export interface Repairer {
  /** @throws ERR_PSYNC_STORE the right block could not be written; the signal's reason */
  repair(
    bad: { readonly place: BlockPlace; readonly hash: BlockHash; readonly judged: Bad },
    signal: AbortSignal,
  ): Promise<Repair>;
  /** Keeps a block again that was set aside. @throws the same */
  restore(lost: LostBlock, signal: AbortSignal): Promise<Repair>;
}

export interface RepairerParts {
  readonly store: Pick<Store, "blocks" | "upkeep" | "restore">;
  /** Where blocks are had again; undefined: nowhere. */
  readonly source: BlockSource | undefined;
  /** Whether also cached blocks are had again; kept ones always are. */
  readonly fetchesCached: boolean;
  readonly clock: Clock;
}

export function createRepairer(parts: RepairerParts): Repairer {
  const { store, source, fetchesCached, clock } = parts;
  const { blocks, upkeep } = store;
  /** Failures in a row for which servers were waited for: nobody is there, and each further block would take as long. */
  let slowFailuresInRow = 0;

  const fetch = async (
    hash: BlockHash,
    signal: AbortSignal,
  ): Promise<VerifiedBlock | PsyncError | undefined> => {
    const { giveUpFailures, slowFailureMs } = LIMITS.check;
    if (source === undefined || slowFailuresInRow >= giveUpFailures) return undefined;
    const startMs = clock.nowMs();
    try {
      const block = await source.fetch({ hash, maxBytes: LIMITS.block.maxSizeBytes, signal });
      slowFailuresInRow = 0;
      return block;
    } catch (error) {
      if (!isBlockMissing(error)) throw error;
      slowFailuresInRow = clock.nowMs() - startMs >= slowFailureMs ? slowFailuresInRow + 1 : 0;
      return error;
    }
  };

  const goodCopyIn = async (
    place: BlockPlace,
    hash: BlockHash,
  ): Promise<VerifiedBlock | undefined> => {
    const judged = await upkeep.judge(place, hash);
    return judged.kind === "good" ? judged.block : undefined;
  };

  const repairKept = async (hash: BlockHash, judged: Bad, signal: AbortSignal): Promise<Repair> => {
    const had = judged.copy ?? (await goodCopyIn("cached", hash)) ?? (await fetch(hash, signal));
    if (had === undefined || had instanceof Error) {
      const moved = await upkeep.setAside("kept", hash, judged);
      return { outcome: OUTCOME_OF_MOVE[moved], servers: had?.details ?? [] };
    }
    if (judged.inTheWay) await upkeep.setAside("kept", hash, judged);
    await store.restore(had);
    return RESTORED;
  };

  const repairCached = async (
    hash: BlockHash,
    judged: Bad,
    signal: AbortSignal,
  ): Promise<Repair> => {
    const moved = await upkeep.setAside("cached", hash, judged);
    if (moved !== "moved") return { outcome: OUTCOME_OF_MOVE[moved], servers: [] };
    if (await goodCopyIn("kept", hash)) return RESTORED;
    const had = judged.copy ?? (fetchesCached ? await fetch(hash, signal) : undefined);
    if (had === undefined || had instanceof Error) {
      return { outcome: "lost", servers: had?.details ?? [] };
    }
    try {
      await blocks.cache(had);
      return RESTORED;
    } catch (error) {
      if (!isPsyncError(error, "ERR_PSYNC_STORE")) throw error;
      // The disk has no room for it: as if it had been evicted.
      return { outcome: "gone", servers: [] };
    }
  };

  return {
    repair: ({ place, hash, judged }, signal) =>
      place === "kept" ? repairKept(hash, judged, signal) : repairCached(hash, judged, signal),
    async restore(lost, signal) {
      const { hash } = lost;
      const had =
        (await blocks.read(hash)) ??
        (await upkeep.goodCopyAside(lost)) ??
        (await fetch(hash, signal));
      if (had === undefined || had instanceof Error) {
        return { outcome: "lost", servers: had?.details ?? [] };
      }
      await store.restore(had);
      return RESTORED;
    },
  };
}

const RESTORED: Repair = { outcome: "restored", servers: [] };
const OUTCOME_OF_MOVE = { moved: "lost", gone: "gone", left: "left" } as const;

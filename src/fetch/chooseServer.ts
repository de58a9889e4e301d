/**
 * Whom to ask for a block, now. Pure: everything that is known of the servers is an argument.
 *
 * Of those that are ready the one that will have brought it first; one that is new, or was not asked for long, is
 * tried now and then. One that rests is the last resort of somebody who waits.
 */
import { aheadLimit } from "./requestLimit.js";
import type { Standing } from "./serverHealth.js";

export interface Candidate {
  readonly server: string;
  readonly standing: Standing;
  /** Not to be asked before this time: it failed in this fetch, or has a request of it. Infinity: never again. */
  readonly notBeforeMs: number;
  /** From when on it may be asked although it rests. */
  readonly probeAtMs: number;
  readonly underWay: number;
  readonly requestLimit: number;
  /** What the block takes from it on average; undefined: never measured. */
  readonly expectedMs: number | undefined;
  readonly firstByteMs: number | undefined;
  readonly failedFraction: number;
  readonly notFoundFraction: number;
  /** When it was asked last; -Infinity: never. */
  readonly askedMs: number;
}

export interface ChoiceQuery {
  /** In configured order, which decides between equals. */
  readonly candidates: readonly Candidate[];
  readonly nowMs: number;
  readonly isWaitedFor: boolean;
  /** From then on nobody is waited for who failed or rests. */
  readonly giveUpAtMs: number;
  /** Whether enough requests went to the best ones to spend one on a try. */
  readonly mayTry: boolean;
  readonly tryAfterMs: number;
  /** One that needs longer comes after those that rest. */
  readonly goodMs: number;
}

export type Choice =
  | { readonly type: "ask"; readonly server: string; readonly isTry: boolean }
  /** Somebody may be asked as soon as a request ends, or at this time; Infinity: only then. */
  | { readonly type: "wait"; readonly untilMs: number }
  | { readonly type: "nobody" };

/** One that takes this many times longer than the best is not asked while the best could be waited for. */
const MUCH_SLOWER = 5;

export function chooseServer(query: ChoiceQuery): Choice {
  const { nowMs, isWaitedFor, goodMs } = query;
  const open = query.candidates.filter(({ notBeforeMs }) => notBeforeMs < Infinity);
  const askable = open
    .filter(({ standing }) => standing.type === "ready")
    .filter(({ notBeforeMs }) => notBeforeMs <= nowMs);
  const good = askable.filter(({ expectedMs = 0 }) => expectedMs <= goodMs);
  // Who failed in this fetch comes after all who were not asked yet.
  const fresh = good.filter(({ notBeforeMs }) => notBeforeMs === -Infinity);

  const tried = tryOne(query, askable);
  if (tried) return tried;
  for (const group of [fresh, good]) {
    const chosen = bestOf(query, group);
    if (chosen) return chosen;
    if (group.length > 0) return { type: "wait", untilMs: Infinity };
  }
  // Work ahead does not wait for servers to get well.
  const resort: Choice = isWaitedFor ? lastResort(query, open) : { type: "nobody" };
  if (resort.type === "ask" || askable.length === 0) return resort;
  return bestOf(query, askable) ?? { type: "wait", untilMs: Infinity };
}

/** One that is not known, or not any more: what it is worth is learned by asking it, once at a time. */
function tryOne(
  { mayTry, nowMs, tryAfterMs }: ChoiceQuery,
  askable: readonly Candidate[],
): Choice | undefined {
  if (!mayTry || !askable.some(isMeasured)) return undefined;
  const due = askable
    .filter(({ underWay, notBeforeMs }) => underWay === 0 && notBeforeMs === -Infinity)
    .find(({ askedMs }) => nowMs - askedMs >= tryAfterMs);
  return due && { type: "ask", server: due.server, isTry: true };
}

function bestOf({ isWaitedFor }: ChoiceQuery, askable: readonly Candidate[]): Choice | undefined {
  const free = askable.filter(({ underWay, requestLimit }) =>
    isWaitedFor ? underWay < requestLimit : underWay < aheadLimit(requestLimit),
  );
  const bestMs = Math.min(...askable.map(({ expectedMs = Infinity }) => expectedMs));
  const quick = free
    .filter(isMeasured)
    .filter(({ expectedMs = Infinity }) => expectedMs <= bestMs * MUCH_SLOWER);
  const [best] = byScore(
    quick.length > 0 ? quick : free.filter((one) => !isMeasured(one)),
    scoreOf,
  );
  return best && { type: "ask", server: best.server, isTry: false };
}

function lastResort({ nowMs, giveUpAtMs }: ChoiceQuery, open: readonly Candidate[]): Choice {
  const isGivingUp = nowMs >= giveUpAtMs;
  const left = open
    .filter(({ standing: { type }, notBeforeMs }) =>
      type === "ready" ? notBeforeMs > nowMs : type === "resting",
    )
    // Each may be asked once, however short the patience.
    .filter(({ notBeforeMs }) => !isGivingUp || notBeforeMs === -Infinity);
  const mayAskAtMs = (one: Candidate): number =>
    one.standing.type === "ready" ? one.notBeforeMs : Math.max(one.notBeforeMs, one.probeAtMs);
  // One request at a time: it says for all who wait whether the server is back.
  const free = left.filter(({ underWay, standing }) => standing.type === "ready" || underWay === 0);
  const [soonest] = byScore(free, mayAskAtMs);
  if (soonest && mayAskAtMs(soonest) <= nowMs) {
    return { type: "ask", server: soonest.server, isTry: false };
  }
  const isProbed = free.length < left.length;
  const untilMs = soonest ? mayAskAtMs(soonest) : Infinity;
  const isWorthWaiting = isProbed || untilMs < giveUpAtMs;
  return isWorthWaiting && !isGivingUp ? { type: "wait", untilMs } : { type: "nobody" };
}

/** How long it will be, counting what it has to do already and how often it fails or has nothing. */
function scoreOf(one: Candidate): number {
  const { expectedMs = 1, firstByteMs = 0, failedFraction, notFoundFraction } = one;
  const missMs = (firstByteMs * notFoundFraction) / Math.max(0.05, 1 - notFoundFraction);
  return ((expectedMs + missMs) * (1 + loadOf(one))) / Math.max(0.1, 1 - failedFraction);
}

function loadOf({ underWay, requestLimit }: Candidate): number {
  return underWay / requestLimit;
}

function isMeasured({ expectedMs }: Candidate): boolean {
  return expectedMs !== undefined;
}

/** The sort is stable: equals stay in configured order. */
function byScore(
  candidates: readonly Candidate[],
  score: (one: Candidate) => number,
): readonly Candidate[] {
  return [...candidates].sort((a, b) => score(a) - score(b));
}

/**
 * What to do about a request that takes long while somebody waits: leave it, ask a second server beside it, or
 * cut one of the two off. Pure: it sees the requests of one fetch as they are now.
 */
import type { LimitsOf } from "../core/limits.js";

export interface Running {
  readonly startMs: number;
  /** From when on it is late, on the same clock. */
  readonly lateAtMs: number;
  /** Until the head of the answer, in ms since the start; undefined: none came yet. */
  readonly firstByteMs: number | undefined;
  readonly receivedBytes: number;
  /** When something came last; the start, where nothing did. */
  readonly lastByteAtMs: number;
}

export interface RaceState<R extends Running> {
  /** At most two, the first one first. */
  readonly running: readonly R[];
  readonly nowMs: number;
  readonly isWaitedFor: boolean;
  /** The block's length as far as it is known: what is expected, or the most it can have. */
  readonly expectedBytes: number;
  /** What a request may need to its end, at most. */
  readonly hopelessMs: number;
  /** Whether there may be another server to ask. */
  readonly maySecond: boolean;
  /** Whether the budget has so many bytes for a second request. */
  readonly canPay: (bytes: number) => boolean;
  /** Whether a whole block was set aside already: once a fetch. */
  readonly hasPaid: boolean;
  /** Whether what was set aside lets both run to the end; else the one that falls behind is cut off. */
  readonly isPaidFor: boolean;
}

export type RaceStep<R extends Running> =
  /** Nothing to do before this time, unless something happens; Infinity: only then. */
  | { readonly type: "wait"; readonly untilMs: number }
  /** Ask a second server, if one is free, and set aside what that can cost. */
  | { readonly type: "second"; readonly reserveBytes: number }
  /** Cut it off: the other one is quicker. */
  | { readonly type: "lost"; readonly loser: R }
  /** Cut it off if another server can be asked in its place: both take far too long, and this one is behind. */
  | { readonly type: "replace"; readonly slow: R };

type RaceLimits = Pick<LimitsOf<"fetch">, "standstillMs" | "raceLookMs">;

export function raceStep<R extends Running>(state: RaceState<R>, limits: RaceLimits): RaceStep<R> {
  const { running, nowMs, isWaitedFor, maySecond } = state;
  const [first, second] = running;
  // A promotion will say when somebody comes to wait.
  if (!first || !isWaitedFor) return { type: "wait", untilMs: Infinity };
  const lookAgain = { type: "wait", untilMs: nowMs + limits.raceLookMs } as const;
  const isHopeless = (one: R): boolean => isFarTooSlow(one, state, limits);
  if (second) {
    const loser = state.isPaidFor ? undefined : loserOf(first, second, isHopeless);
    if (loser) return { type: "lost", loser };
    if (!maySecond || !isHopeless(first) || !isHopeless(second)) return lookAgain;
    return { type: "replace", slow: first.receivedBytes < second.receivedBytes ? first : second };
  }
  if (nowMs < first.lateAtMs) return { type: "wait", untilMs: first.lateAtMs };
  const reserveBytes = maySecond ? costOfSecond(first, state, limits) : undefined;
  return reserveBytes === undefined ? lookAgain : { type: "second", reserveBytes };
}

/** What a second request may cost; undefined: more than there is. */
function costOfSecond<R extends Running>(
  first: R,
  state: RaceState<R>,
  limits: RaceLimits,
): number | undefined {
  const { expectedBytes, hasPaid, canPay } = state;
  if (!hasPaid && canPay(expectedBytes)) return expectedBytes;
  // The first byte decides, before either has cost anything.
  if (first.firstByteMs === undefined) return 0;
  // It has failed, as far as can be seen: what it gave is lost with or without a second one.
  if (isStandingStill(first, state, limits) || hasHadItsTime(first, state, limits)) return 0;
  // One of the two is cut off once it is behind: neither will have had much more than the first has now.
  const bothBytes = 2 * first.receivedBytes;
  return isFarTooSlow(first, state, limits) && canPay(bothBytes) ? bothBytes : undefined;
}

/** Who is to be cut off where nothing was set aside for two: who has nothing once the other has, or is overtaken. */
function loserOf<R extends Running>(
  first: R,
  second: R,
  isHopeless: (one: R) => boolean,
): R | undefined {
  if (second.receivedBytes > first.receivedBytes) return first;
  if (first.firstByteMs === undefined) return second.firstByteMs === undefined ? undefined : first;
  return isHopeless(first) ? undefined : second;
}

function isStandingStill(
  one: Running,
  { nowMs }: RaceState<Running>,
  { standstillMs }: RaceLimits,
): boolean {
  return nowMs >= one.lateAtMs && nowMs - one.lastByteAtMs >= standstillMs;
}

/** Whether it has had all the time that a request may need, and would need as much again. */
function hasHadItsTime(one: Running, state: RaceState<Running>, limits: RaceLimits): boolean {
  return state.nowMs - one.startMs >= state.hopelessMs && isFarTooSlow(one, state, limits);
}

/** Whether it stands still, or would take far longer to its end at the rate it has shown. */
function isFarTooSlow(one: Running, state: RaceState<Running>, limits: RaceLimits): boolean {
  const { nowMs, expectedBytes, hopelessMs } = state;
  const elapsedMs = nowMs - one.startMs;
  if (elapsedMs < limits.standstillMs || nowMs < one.lateAtMs) return false;
  if (isStandingStill(one, state, limits)) return true;
  const bodyMs = elapsedMs - (one.firstByteMs ?? elapsedMs);
  const bytesPerMs = one.receivedBytes / Math.max(bodyMs, 1);
  return expectedBytes - one.receivedBytes > bytesPerMs * hopelessMs;
}

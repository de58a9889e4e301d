/**
 * What to do about a request that takes long while somebody waits: leave it, ask a second server beside it, or
 * drop it. Pure: it sees the requests of one fetch as they are now.
 */
import type { LimitsOf } from "../core/limits.js";

export interface Running {
  readonly startMs: number;
  /** From when on it is late, on the same clock. */
  readonly lateAtMs: number;
  /** Until the head of the answer; undefined: none came yet. */
  readonly firstByteMs: number | undefined;
  readonly receivedBytes: number;
}

export interface RaceState<R extends Running> {
  readonly running: readonly R[];
  readonly nowMs: number;
  readonly isWaitedFor: boolean;
  /** What the block can have at most. */
  readonly maxBytes: number;
  /** Whether a second server may be asked now: each block is raced for once. */
  readonly maySecond: boolean;
  /** Whether the budget has the bytes of a second request. */
  readonly canPay: boolean;
  /** Whether the two run to the end; else the first byte decides, and the other is dropped before it cost anything. */
  readonly isPaidFor: boolean;
}

export type RaceStep<R extends Running> =
  /** Nothing to do before this time, unless something happens; Infinity: only then. */
  | { readonly type: "wait"; readonly untilMs: number }
  /** Ask a second server, if one is free. */
  | { readonly type: "second" }
  /** Cut it off: the other one was quicker. */
  | { readonly type: "lost"; readonly loser: R }
  /** Cut it off if another server can be asked in its place: it would take far too long. */
  | { readonly type: "hopeless"; readonly slow: R };

export function raceStep<R extends Running>(
  state: RaceState<R>,
  limits: Pick<LimitsOf<"fetch">, "hopelessAfterMs" | "hopelessMs" | "raceLookMs">,
): RaceStep<R> {
  const { running, nowMs, isWaitedFor, maySecond, isPaidFor } = state;
  // A promotion will say when somebody comes to wait.
  if (!isWaitedFor) return { type: "wait", untilMs: Infinity };
  const [first, second] = running;
  if (!first) return { type: "wait", untilMs: Infinity };
  if (second && !isPaidFor) {
    const loser = firstByteLoser(first, second);
    if (loser) return { type: "lost", loser };
  }
  if (!second && nowMs < first.lateAtMs) return { type: "wait", untilMs: first.lateAtMs };
  // Without a byte so far it costs nothing to let the first byte decide.
  const isAffordable = state.canPay || first.firstByteMs === undefined;
  if (!second && maySecond && isAffordable) return { type: "second" };
  const slow = running.every((one) => isHopeless(one, state, limits))
    ? running.toSorted((a, b) => a.receivedBytes - b.receivedBytes)[0]
    : undefined;
  return slow ? { type: "hopeless", slow } : { type: "wait", untilMs: nowMs + limits.raceLookMs };
}

/** The one without a byte, once the other has one. */
function firstByteLoser<R extends Running>(first: R, second: R): R | undefined {
  if (first.firstByteMs !== undefined) return second;
  return second.firstByteMs === undefined ? undefined : first;
}

/** Whether it would take far longer to its end, at the rate it has shown. */
function isHopeless(
  one: Running,
  { nowMs, maxBytes }: RaceState<Running>,
  { hopelessAfterMs, hopelessMs }: Pick<LimitsOf<"fetch">, "hopelessAfterMs" | "hopelessMs">,
): boolean {
  const elapsedMs = nowMs - one.startMs;
  if (elapsedMs < hopelessAfterMs || nowMs < one.lateAtMs) return false;
  const bodyMs = elapsedMs - (one.firstByteMs ?? elapsedMs);
  const bytesPerMs = bodyMs > 0 ? one.receivedBytes / bodyMs : 0;
  const remainingBytes = maxBytes - one.receivedBytes;
  return remainingBytes > bytesPerMs * hopelessMs;
}

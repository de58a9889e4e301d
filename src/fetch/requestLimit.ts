/**
 * How many requests one server is given at once: more while more bring more, fewer where fewer bring as much.
 * Pure: it is told what happened, and compares what came in one window of requests with the window before.
 *
 * A window is as many answers as requests are allowed at once, or more. One in which less was asked for than allowed says
 * nothing, and changes nothing.
 */
export interface RequestLimit {
  /** Integer ≥ 1. */
  current(): number;
  /** A whole block came. `underWay`: requests at that moment, this one included. */
  noteBlock(end: {
    readonly bytes: number;
    readonly underWay: number;
    readonly nowMs: number;
  }): void;
  /** The server failed in a way that too many requests can cause: half as many from now on. */
  noteOverload(nowMs: number): void;
}

/** What is done ahead leaves a quarter to those who wait: they must not stand behind it. */
export function aheadLimit(limit: number): number {
  return Math.max(1, Math.floor(limit * 0.75));
}

export interface RequestLimitOptions {
  readonly first: number;
  readonly max: number;
  readonly nowMs: number;
}

/** Fewer would leave a long line idle between an answer and the next request: a quarter is not for read-ahead. */
const MIN_LIMIT = 6;
/** Answers of a window at least, once the first climb is over: fewer tell more of chance than of the server. */
const MIN_WINDOW = 12;
/** A trial of more must bring this much more, and one of fewer may cost this much. */
const WORTH_MORE = 1.1;
const WORTH_FEWER = 0.98;
/** Windows between two trials, at first: a trial may have failed by chance. They double up to the most. */
const FIRST_HOLD_WINDOWS = 1;
const MAX_HOLD_WINDOWS = 8;

interface Window {
  readonly startMs: number;
  bytes: number;
  count: number;
  fullCount: number;
}

/** What is being tried: whether another limit brings more than the one before. */
interface Trial {
  readonly direction: "more" | "fewer";
  readonly limitBefore: number;
  readonly rateBefore: number;
}

export function createRequestLimit({ first, max, nowMs }: RequestLimitOptions): RequestLimit {
  let limit = clamp(Math.round(first), max);
  let window = newWindow(nowMs);
  let trial: Trial | undefined;
  /** Answers to requests of before a change of the limit, which say nothing of it. */
  let passOverCount = 0;
  let isFirstClimb = true;
  let holdWindows = 0;
  let nextHoldWindows = FIRST_HOLD_WINDOWS;
  let nextDirection: Trial["direction"] = "more";

  const hold = (): void => {
    isFirstClimb = false;
    holdWindows = nextHoldWindows;
    nextHoldWindows = Math.min(2 * nextHoldWindows, MAX_HOLD_WINDOWS);
  };

  const startTrial = (direction: Trial["direction"], rateBefore: number): void => {
    const next = clamp(direction === "more" ? raised(limit, isFirstClimb) : lowered(limit), max);
    nextDirection = direction === "more" ? "fewer" : "more";
    if (next === limit) {
      trial = undefined;
      hold();
      return;
    }
    trial = { direction, limitBefore: limit, rateBefore };
    limit = next;
  };

  const judgeTrial = ({ direction, limitBefore, rateBefore }: Trial, rate: number): void => {
    const isWorthIt = rate >= rateBefore * (direction === "more" ? WORTH_MORE : WORTH_FEWER);
    if (isWorthIt && direction === "more") {
      nextHoldWindows = FIRST_HOLD_WINDOWS;
      startTrial("more", rate);
      return;
    }
    if (!isWorthIt) limit = limitBefore;
    trial = undefined;
    hold();
  };

  const endWindow = (rate: number): void => {
    if (trial) judgeTrial(trial, rate);
    else if (holdWindows > 0) holdWindows -= 1;
    else startTrial(nextDirection, rate);
  };

  return {
    current: () => limit,
    noteBlock({ bytes, underWay, nowMs: endMs }) {
      if (passOverCount > 0) {
        passOverCount -= 1;
        window = newWindow(endMs);
        return;
      }
      window.bytes += bytes;
      window.count += 1;
      // A reader in order asks for nearly all of it ahead.
      if (underWay >= aheadLimit(limit)) window.fullCount += 1;
      const elapsedMs = endMs - window.startMs;
      const windowCount = isFirstClimb ? limit : Math.max(limit, MIN_WINDOW);
      if (window.count < windowCount || elapsedMs <= 0) return;
      const wasFull = window.fullCount * 4 >= window.count * 3;
      const rate = window.bytes / elapsedMs;
      window = newWindow(endMs);
      const limitBefore = limit;
      if (wasFull) endWindow(rate);
      if (limit !== limitBefore) passOverCount = underWay - 1;
    },
    noteOverload(failedMs) {
      // What failed together is one overload.
      if (window.count === 0 && !isFirstClimb && trial === undefined) return;
      limit = clamp(Math.floor(limit / 2), max);
      trial = undefined;
      hold();
      nextDirection = "more";
      window = newWindow(failedMs);
    },
  };
}

function newWindow(startMs: number): Window {
  return { startMs, bytes: 0, count: 0, fullCount: 0 };
}

function raised(limit: number, isFirstClimb: boolean): number {
  return isFirstClimb ? limit * 2 : Math.max(limit + 1, Math.round(limit * 1.25));
}

function lowered(limit: number): number {
  return Math.min(limit - 1, Math.round(limit * 0.75));
}

function clamp(limit: number, max: number): number {
  return Math.max(Math.min(MIN_LIMIT, max), Math.min(limit, max));
}

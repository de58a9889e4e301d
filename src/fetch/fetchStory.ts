/**
 * What each server did in one fetch: told to the book as it happens, and in words to whoever asks why.
 * It also knows who may not be asked again, since their answer will not change.
 */
import type { BlockHash } from "../block/hash.js";
import type { BlockRequest } from "../block/ports.js";
import { formatSize } from "../core/bytes.js";
import type { Clock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import type { LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { Attempt, Judged } from "./attempt.js";
import { formatDuration } from "../core/duration.js";
import type { FetchFailure } from "./outcome.js";
import type { RequestEnd, ServerBook } from "./serverBook.js";
import type { HealthChange, Standing } from "./serverHealth.js";

export interface FetchStory {
  /** An attempt ended so. `lost`: another server was quicker; `abandoned`: nobody wanted the block any more. */
  note(attempt: Attempt, end: Judged | "lost" | "abandoned"): void;
  /** By server: not to be asked before this time. Infinity: not again in this fetch. */
  notBeforeMs(): ReadonlyMap<string, number>;
  /** Tells what each server that was asked did, unless it was told already. */
  tell(): void;
  /** The error that says what each server did, and why others were not asked; it is told too. */
  unavailable(): PsyncError;
}

interface Answer {
  line: string;
  isNotFound: boolean;
  isCircle: boolean;
  askedCount: number;
  pauseMs: number;
  notBeforeMs: number;
}

export interface StoryContext {
  readonly servers: ReadonlyMap<string, unknown>;
  readonly book: ServerBook;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: LimitsOf<"fetch">;
  readonly explain: (hash: BlockHash, lines: readonly string[]) => void;
}

export function createFetchStory(
  { servers, book, clock, log, limits, explain }: StoryContext,
  { hash, maxBytes, expectedBytes = maxBytes }: BlockRequest,
): FetchStory {
  const answers = new Map<string, Answer>();
  let isTold = false;
  const { roundPauseMs, maxRoundPauseMs } = limits;

  const lineOf = (server: string): string => {
    const answer = answers.get(server);
    const standing = book.health.standing({ server, hash, nowMs: clock.nowMs() });
    if (!answer) return `${server}: ${describeNotAsked(standing)}`;
    const times = answer.askedCount > 1 ? ` (asked ${answer.askedCount} times)` : "";
    return `${server}: ${answer.line}${times}`;
  };

  const tell = (told: readonly string[]): readonly string[] => {
    const lines = told.map(lineOf);
    isTold = true;
    explain(hash, lines);
    return lines;
  };

  return {
    note(attempt, end) {
      const { server } = attempt;
      const nowMs = clock.nowMs();
      const tookMs = nowMs - attempt.startMs;
      const type = typeof end === "string" ? end : end.type;
      const failure = typeof end !== "string" && end.type === "failed" ? end : undefined;
      if (type === "lied") log.warn(`${server} gave wrong bytes for block ${hash}`);
      const change = book.end({
        server,
        hash,
        expectedBytes,
        nowMs,
        timing: { ...attempt, elapsedMs: tookMs },
        end: type === "block" ? "ok" : failure ? endOf(failure) : type,
        failure,
      });
      if (change) logChange(log, server, change, failure?.reason);

      const before = answers.get(server);
      const pauseMs = Math.min((before?.pauseMs ?? roundPauseMs / 2) * 2, maxRoundPauseMs);
      const standing = book.health.standing({ server, hash, nowMs });
      const line = describe(end, { tookMs, receivedBytes: attempt.receivedBytes, standing });
      // Of an end that nobody is told of by an error, this is all that is left.
      if (failure || type === "abandoned") log.debug(`${server}: ${line} (block ${hash})`);
      answers.set(server, {
        line,
        isNotFound: type === "notFound",
        isCircle: failure?.kind === "loop",
        askedCount: (before?.askedCount ?? 0) + 1,
        pauseMs,
        notBeforeMs: type === "lost" || failure?.transient === true ? nowMs + pauseMs : Infinity,
      });
    },
    notBeforeMs: () =>
      new Map([...answers].map(([server, answer]) => [server, answer.notBeforeMs])),
    tell() {
      if (!isTold && answers.size > 0) tell([...answers.keys()]);
    },
    unavailable() {
      const details = tell([...servers.keys()]);
      const others = [...servers.keys()].filter((server) => {
        const { type } = book.health.standing({ server, hash, nowMs: clock.nowMs() });
        return !(answers.get(server)?.isNotFound ?? type === "notFound");
      });
      const isInCircle = others.every((server) => answers.get(server)?.isCircle);
      const who = servers.size === 1 ? "1 server" : `${servers.size} servers`;
      return new PsyncError(
        others.length === 0
          ? "ERR_PSYNC_BLOCK_NOT_FOUND"
          : isInCircle
            ? "ERR_PSYNC_BLOCK_IN_CIRCLE"
            : "ERR_PSYNC_BLOCK_UNAVAILABLE",
        `block ${hash} could not be had from ${who}`,
        { details },
      );
    },
  };
}

/** Only what says something of the server itself counts against it. */
function endOf({ kind }: FetchFailure): RequestEnd {
  // One that was asked in a circle has done nothing wrong.
  if (kind === "loop") return "abandoned";
  return kind === "elsewhere" ? "elsewhere" : "failed";
}

function describe(
  end: Judged | "lost" | "abandoned",
  {
    tookMs,
    receivedBytes,
    standing,
  }: {
    readonly tookMs: number;
    readonly receivedBytes: number;
    readonly standing: Standing;
  },
): string {
  if (end === "lost") {
    return `cut off after ${formatDuration(tookMs)} and ${formatSize(receivedBytes)}: another was quicker`;
  }
  if (end === "abandoned") return `given up after ${formatDuration(tookMs)}`;
  switch (end.type) {
    case "block":
      return `${formatSize(receivedBytes)} in ${formatDuration(tookMs)}`;
    case "notFound":
      return "404";
    case "failed":
      return end.reason;
    case "lied":
      return standing.type === "banned" ? `wrong hash, banned ${show(standing)}` : "wrong hash";
  }
}

function describeNotAsked(standing: Standing): string {
  switch (standing.type) {
    case "banned":
      return `not asked: banned for ${show(standing)} more, it gave wrong bytes`;
    case "wrongBlock":
      return "not asked: it gave wrong bytes for this block before";
    case "notFound":
      return `404 a moment ago, asked again in ${show(standing)}`;
    case "resting":
      return "not asked: it failed several times just now";
    case "ready":
      return "not asked";
  }
}

function logChange(log: Logger, server: string, change: HealthChange, reason = ""): void {
  switch (change.type) {
    case "rests":
      log.warn(
        `${server} failed several times in a row (${reason}): ` +
          `for ${show(change)} it is asked only where nobody else is left`,
      );
      return;
    case "recovered":
      log.info(`${server} answers again`);
      return;
    case "banned":
      log.warn(`${server} is banned for ${show(change)}`);
  }
}

function show({ forMs }: { readonly forMs: number }): string {
  return formatDuration(forMs);
}

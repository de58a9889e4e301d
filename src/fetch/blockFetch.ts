/**
 * The fetch of one block: asks one server after the other, verifies what comes, and goes round again
 * while a server could come back. It opens no connections and has no opinion of servers; both arrive as arguments.
 */
import type { BlockRequest } from "../block/ports.js";
import { verifyBlock, type VerifiedBlock } from "../block/verify.js";
import { pause } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { isPsyncError, PsyncError } from "../core/errors.js";
import type { LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { formatDuration } from "./duration.js";
import type { HttpServer } from "./httpServer.js";
import { failed, type FetchFailure } from "./outcome.js";
import type { HealthChange, ServerHealth, Standing, Verdict } from "./serverHealth.js";

export interface BlockFetchContext {
  /** By name, in configured order. */
  readonly servers: ReadonlyMap<string, HttpServer>;
  readonly health: ServerHealth;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: LimitsOf<"fetch">;
}

/** What a server did in this fetch, for the error's details. */
interface Answer {
  readonly judged: Judged;
  readonly line: string;
  readonly isTransient: boolean;
  readonly askedCount: number;
}

/** What came of one request: the block, or why there is none. */
type Judged =
  | { readonly type: "block"; readonly block: VerifiedBlock }
  | { readonly type: "notFound" }
  | { readonly type: "lied" }
  | FetchFailure;

/**
 * Fetches one block. No round begins after `patienceMs`, so it takes at most that and one round more;
 * whoever needs it to end sooner aborts the signal.
 *
 * @throws ERR_PSYNC_BLOCK_UNAVAILABLE every server was asked, and those that could come back were waited for
 * @throws the request's signal's reason
 * Cost: one download where the first server is honest; each other one costs at most one `maxBytes` a round.
 */
export async function fetchBlock(
  context: BlockFetchContext,
  request: BlockRequest,
): Promise<VerifiedBlock> {
  const { clock, limits } = context;
  const answers = new Map<string, Answer>();
  const patienceEndMs = clock.nowMs() + limits.patienceMs;
  let pauseMs = limits.roundPauseMs;
  for (;;) {
    const block = await askRound(context, request, answers);
    if (block) return block;
    const isWorthAnotherRound = nextCandidates(context, request, answers).length > 0;
    if (!isWorthAnotherRound || clock.nowMs() + pauseMs >= patienceEndMs) {
      throw unavailable(context, request, answers);
    }
    await pause(clock, pauseMs, request.signal);
    pauseMs = Math.min(pauseMs * 2, limits.maxRoundPauseMs);
  }
}

/** Asks every server that may have the block once, in the order that is best at each step. */
async function askRound(
  context: BlockFetchContext,
  request: BlockRequest,
  answers: Map<string, Answer>,
): Promise<VerifiedBlock | undefined> {
  const asked = new Set<string>();
  for (;;) {
    const name = nextCandidates(context, request, answers).find((other) => !asked.has(other));
    const server = name === undefined ? undefined : context.servers.get(name);
    if (name === undefined || server === undefined) return undefined;
    asked.add(name);
    const judged = await ask(context, name, server, request);
    if (judged.type === "block") return judged.block;
    answers.set(name, {
      judged,
      line: describe(judged, context, name, request),
      isTransient: judged.type === "failed" && judged.transient,
      askedCount: (answers.get(name)?.askedCount ?? 0) + 1,
    });
  }
}

/** Who may still be asked in this fetch: a definite answer is not asked for twice. */
function nextCandidates(
  { servers, health, clock }: BlockFetchContext,
  { hash }: BlockRequest,
  answers: ReadonlyMap<string, Answer>,
): string[] {
  return health
    .candidates({ hash, nowMs: clock.nowMs(), servers: [...servers.keys()] })
    .filter((name) => answers.get(name)?.isTransient !== false);
}

async function ask(
  { health, clock, log }: BlockFetchContext,
  name: string,
  server: HttpServer,
  request: BlockRequest,
): Promise<Judged> {
  const { hash } = request;
  let verdict: Verdict = "abandoned";
  health.begin(name);
  try {
    const judged = await judge(server, request);
    // A circle is a matter of who asks whom: nothing was learned of the server.
    const isLoop = judged.type === "failed" && judged.kind === "loop";
    verdict = isLoop ? "abandoned" : VERDICT_OF[judged.type];
    if (judged.type === "lied") log.warn(`${name} gave wrong bytes for block ${hash}`);
    if (judged.type === "failed") log.debug(`${name}: ${judged.reason} (block ${hash})`);
    return judged;
  } finally {
    const change = health.end({ server: name, hash, nowMs: clock.nowMs() }, verdict);
    if (change) logChange(log, name, change);
  }
}

const VERDICT_OF = { block: "ok", notFound: "notFound", lied: "lied", failed: "failed" } as const;

async function judge(server: HttpServer, request: BlockRequest): Promise<Judged> {
  const outcome = await server.fetchBytes(request);
  if (outcome.type !== "bytes") return outcome;
  try {
    return { type: "block", block: verifyBlock(request.hash, outcome.bytes) };
  } catch (error) {
    if (!isPsyncError(error, "ERR_PSYNC_HASH_MISMATCH")) throw error;
    if (outcome.endMarked) return { type: "lied" };
    // A connection that broke looks like this too, and that is not the server's lie.
    return failed("truncated", "wrong hash, in an answer that may have been cut short");
  }
}

function logChange(log: Logger, name: string, change: HealthChange): void {
  switch (change.type) {
    case "rests":
      log.warn(`${name} failed several times in a row: asked last for ${show(change)}`);
      return;
    case "recovered":
      log.info(`${name} answers again`);
      return;
    case "banned":
      log.warn(`${name} is banned for ${show(change)}`);
  }
}

function show({ forMs }: { readonly forMs: number }): string {
  return formatDuration(forMs);
}

function describe(
  judged: Exclude<Judged, { type: "block" }>,
  { health, clock }: BlockFetchContext,
  server: string,
  { hash }: BlockRequest,
): string {
  switch (judged.type) {
    case "notFound":
      return "404";
    case "failed":
      return judged.reason;
    case "lied": {
      const standing = health.standing({ server, hash, nowMs: clock.nowMs() });
      return standing.type === "banned" ? `wrong hash, banned ${show(standing)}` : "wrong hash";
    }
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
    case "ready":
      return "not asked";
  }
}

function unavailable(
  { servers, health, clock }: BlockFetchContext,
  { hash }: BlockRequest,
  answers: ReadonlyMap<string, Answer>,
): PsyncError {
  const nowMs = clock.nowMs();
  const details = [...servers.keys()].map((server) => {
    const answer = answers.get(server);
    if (!answer) return `${server}: ${describeNotAsked(health.standing({ server, hash, nowMs }))}`;
    const times = answer.askedCount > 1 ? ` (asked ${answer.askedCount} times)` : "";
    return `${server}: ${answer.line}${times}`;
  });
  const isNowhere = [...servers.keys()].every((server) => {
    const judged = answers.get(server)?.judged ?? health.standing({ server, hash, nowMs });
    return judged.type === "notFound";
  });
  const who = servers.size === 1 ? "1 server" : `${servers.size} servers`;
  return new PsyncError(
    isNowhere ? "ERR_PSYNC_BLOCK_NOT_FOUND" : "ERR_PSYNC_BLOCK_UNAVAILABLE",
    `block ${hash} could not be had from ${who}`,
    { details },
  );
}

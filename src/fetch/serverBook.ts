/**
 * All that is known of the servers, joined: whether each may be asked, how fast it is, how much it is given at
 * once, and what of it is worth keeping over a restart. It has no sockets; what happened is told to it.
 */
import type { BlockHash } from "../block/hash.js";
import type { ServerRecord } from "../block/ports.js";
import type { LimitsOf } from "../core/limits.js";
import { chooseServer, type Candidate, type Choice } from "./chooseServer.js";
import type { FailureKind, FetchFailure } from "./outcome.js";
import { createRequestLimit, type RequestLimit } from "./requestLimit.js";
import {
  createServerHealth,
  type Ban,
  type HealthChange,
  type ServerHealth,
  type Verdict,
} from "./serverHealth.js";
import { createServerSpeed, type RequestTiming, type ServerSpeed } from "./serverSpeed.js";

export interface BookQuery {
  readonly hash: BlockHash;
  /** The block's length as far as it is known: what is expected, or the most it can have. */
  readonly expectedBytes: number;
  readonly nowMs: number;
  readonly isWaitedFor: boolean;
  /** When whoever waits has waited long enough for servers to come back. */
  readonly giveUpAtMs: number;
  /** Whether it may be a server that is only tried. */
  readonly mayTry: boolean;
  /** By server: not to be asked before this time. Infinity: never. */
  readonly notBeforeMs: ReadonlyMap<string, number>;
}

/**
 * How a request ended. `lost`: it was cut off, since another server was quicker; `elsewhere`: those that the server
 * asked could not give it the block.
 */
export type RequestEnd = Verdict | "lost" | "elsewhere";

export interface EndedRequest {
  readonly server: string;
  readonly hash: BlockHash;
  readonly nowMs: number;
  readonly expectedBytes: number;
  readonly timing: RequestTiming;
  readonly end: RequestEnd;
  /** Where it failed. */
  readonly failure?: FetchFailure | undefined;
}

export interface ServerBook {
  readonly health: ServerHealth;
  choose(query: BookQuery): Choice;
  /** A request begins; each must be ended once. */
  begin(server: string, nowMs: number): void;
  end(request: EndedRequest): HealthChange | undefined;
  /** When a block is late from this server, in ms since it was asked. */
  lateAfterMs(server: string, query: BookQuery): number;
  /** What a block of this length takes from it; undefined: never measured. */
  expectedMs(server: string, blockBytes: number): number | undefined;
  requestLimit(server: string): number;
  /** What may be kept; servers that were never asked are left out. */
  records(nowMs: number, nowUnixMs: number): ReadonlyMap<string, ServerRecord>;
}

interface ServerPage {
  readonly speed: ServerSpeed;
  readonly limit: RequestLimit;
  failedFraction: number;
  notFoundFraction: number;
  blockCount: number;
  lieCount: number;
  askedMs: number;
  /** Whether it was asked by this process. */
  wasAsked: boolean;
}

/** What one more answer weighs in the fractions. */
const FRACTION_WEIGHT = 0.1;

export interface BookOptions {
  /** In configured order. */
  readonly servers: readonly string[];
  readonly limits: LimitsOf<"fetch">;
  readonly nowMs: number;
  /** What an earlier process knew, and the time of day that goes with `nowMs`. */
  readonly records: ReadonlyMap<string, ServerRecord>;
  readonly nowUnixMs: number;
}

export function createServerBook(options: BookOptions): ServerBook {
  const { servers, limits, records } = options;
  const health = createServerHealth(limits, bansOf(options));
  const pages = new Map(servers.map((server) => [server, newPage(records.get(server), options)]));
  let requestsSinceTry = 0;
  // Half of what is too slow: who is asked instead must be worth it.
  const goodMs = (blockBytes: number): number => hopelessMs(blockBytes, limits) / 2;

  const pageOf = (server: string): ServerPage => {
    const page = pages.get(server);
    if (!page) throw new Error(`no such server: ${server}`);
    return page;
  };

  const requestLimit = (server: string): number => {
    const { speed, limit } = pageOf(server);
    const isNew = speed.bytesPerSecond() === undefined;
    return isNew ? Math.min(limits.newcomerRequests, limit.current()) : limit.current();
  };

  const candidateOf = (server: string, query: BookQuery): Candidate => {
    const { hash, nowMs, expectedBytes, notBeforeMs } = query;
    const { speed, failedFraction, notFoundFraction, askedMs } = pageOf(server);
    return {
      server,
      standing: health.standing({ server, hash, nowMs }),
      notBeforeMs: notBeforeMs.get(server) ?? -Infinity,
      probeAtMs: health.probeAtMs(server),
      underWay: health.underWay(server),
      requestLimit: requestLimit(server),
      expectedMs: speed.expectedMs(expectedBytes),
      firstByteMs: speed.firstByteMs(),
      failedFraction,
      notFoundFraction,
      askedMs,
    };
  };

  return {
    health,
    requestLimit,
    expectedMs: (server, blockBytes) => pageOf(server).speed.expectedMs(blockBytes),
    choose(query) {
      const choice = chooseServer({
        ...query,
        candidates: servers.map((server) => candidateOf(server, query)),
        mayTry: query.mayTry && requestsSinceTry >= limits.tryEveryRequests,
        tryAfterMs: limits.tryAfterMs,
        goodMs: goodMs(query.expectedBytes),
      });
      if (choice.type === "ask") requestsSinceTry = choice.isTry ? 0 : requestsSinceTry + 1;
      return choice;
    },
    begin(server, nowMs) {
      const page = pageOf(server);
      page.askedMs = nowMs;
      page.wasAsked = true;
      health.begin(server);
    },
    end({ server, hash, expectedBytes, nowMs, timing, end, failure }) {
      const page = pageOf(server);
      const underWay = health.underWay(server);
      const verdict = end === "lost" || end === "elsewhere" ? "abandoned" : end;
      const change = health.end({ server, hash, nowMs }, verdict);
      if (end === "ok") {
        page.blockCount += 1;
        page.speed.noteWhole(timing);
        page.limit.noteBlock({ bytes: timing.receivedBytes, underWay, nowMs });
      }
      const wasSlow = failure?.kind === "timeout" || failure?.kind === "slow";
      if (end === "lost" || wasSlow) page.speed.noteCut(timing, expectedBytes);
      if (failure && isOverload(failure)) page.limit.noteOverload(nowMs);
      if (end === "lied") page.lieCount += 1;
      if (end !== "lost" && end !== "abandoned") {
        page.failedFraction = mixed(page.failedFraction, end === "failed");
        // Asked in vain, which costs as much as a 404.
        const isMiss = end === "notFound" || end === "elsewhere";
        page.notFoundFraction = mixed(page.notFoundFraction, isMiss);
      }
      return change;
    },
    lateAfterMs(server, query) {
      const { speed } = pageOf(server);
      const isTooSlow = (speed.expectedMs(query.expectedBytes) ?? 0) > goodMs(query.expectedBytes);
      const hasGiven = speed.bytesPerSecond() !== undefined;
      const own =
        isTooSlow || !hasGiven ? limits.raceFirstMs : speed.lateAfterMs(query.expectedBytes);
      // Where another would be done three times over, nobody need wait for this one's own p90.
      const others = servers
        .filter((other) => other !== server && isReady(health, other, query))
        .map((other) => pageOf(other).speed.expectedMs(query.expectedBytes) ?? Infinity)
        .map((expectedMs) => Math.max(limits.raceFloorMs, 3 * expectedMs));
      return Math.min(own, limits.raceLastMs, ...others);
    },
    records(nowMs, nowUnixMs) {
      const toUnixMs = (clockMs: number): number => Math.round(nowUnixMs + (clockMs - nowMs));
      return new Map(
        [...pages]
          .filter(([, { wasAsked }]) => wasAsked)
          .map(([server, page]) => [server, recordOf(page, health.lastBan(server), toUnixMs)]),
      );
    },
  };
}

function newPage(
  record: ServerRecord | undefined,
  { limits, nowMs, nowUnixMs }: BookOptions,
): ServerPage {
  return {
    speed: createServerSpeed(limits, record),
    limit: createRequestLimit({
      first: record?.requestLimit ?? limits.firstRequestLimit,
      max: limits.connectionsPerServer,
      nowMs,
    }),
    failedFraction: record?.failedFraction ?? 0,
    notFoundFraction: record?.notFoundFraction ?? 0,
    blockCount: record?.blockCount ?? 0,
    lieCount: record?.lieCount ?? 0,
    askedMs: record ? nowMs - Math.max(0, nowUnixMs - record.askedUnixMs) : -Infinity,
    wasAsked: false,
  };
}

/** What a block of this length may take at most, where another server can be asked. */
export function hopelessMs(
  blockBytes: number,
  limits: Pick<LimitsOf<"fetch">, "hopelessMs" | "hopelessBytesPerSecond">,
): number {
  return limits.hopelessMs + (blockBytes * 1000) / limits.hopelessBytesPerSecond;
}

/** A ban that a clock set wrong made longer than any ban can be is cut to the longest. */
function bansOf({
  records,
  nowMs,
  nowUnixMs,
  limits: { maxBanMs },
}: BookOptions): Map<string, Ban> {
  return new Map(
    [...records]
      .filter(([, { banMs }]) => banMs > 0)
      .map(([server, { banMs, banEndUnixMs }]) => {
        const forMs = Math.min(banEndUnixMs - nowUnixMs, maxBanMs);
        return [server, { banMs: Math.min(banMs, maxBanMs), endMs: nowMs + forMs }];
      }),
  );
}

function isReady(health: ServerHealth, server: string, { hash, nowMs }: BookQuery): boolean {
  return health.standing({ server, hash, nowMs }).type === "ready";
}

const NO_OVERLOAD: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "refused",
  "unreachable",
  "unknownHost",
  "elsewhere",
]);

/** Whether too many requests at once can be why. */
function isOverload({ kind, transient }: FetchFailure): boolean {
  return transient && !NO_OVERLOAD.has(kind);
}

function mixed(fraction: number, happened: boolean): number {
  return fraction * (1 - FRACTION_WEIGHT) + (happened ? FRACTION_WEIGHT : 0);
}

function recordOf(page: ServerPage, ban: Ban, toUnixMs: (clockMs: number) => number): ServerRecord {
  const { speed, limit, failedFraction, notFoundFraction, blockCount, lieCount, askedMs } = page;
  return {
    firstByteMs: speed.firstByteMs(),
    bytesPerSecond: speed.bytesPerSecond(),
    requestLimit: limit.current(),
    failedFraction,
    notFoundFraction,
    blockCount,
    lieCount,
    banMs: ban.banMs,
    banEndUnixMs: ban.banMs > 0 ? toUnixMs(ban.endMs) : 0,
    askedUnixMs: toUnixMs(askedMs),
  };
}

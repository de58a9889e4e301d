/** What is claimed of every run. Pure: each claim looks at the record of a run, and says where it does not hold. */
import type { LimitsOf } from "../../../src/core/limits.js";
import { hopelessMs } from "../../../src/fetch/serverBook.js";
import { deadSinceMs, uselessSinceMs } from "./behaviour.js";
import { BLOCK_BYTES, BLOCKS_PER_FILE } from "./library.js";
import type { ReadRecord, RequestRecord, RunRecord } from "./record.js";
import type { Scenario } from "./scenario.js";

export interface ClaimBounds {
  readonly limits: LimitsOf<"fetch">;
  /** Of the useful bytes, what races may cost besides… */
  readonly racedPart: number;
  /** …and what they may cost in any case. */
  readonly racedAllowanceBytes: number;
  /** How often a server that rests is asked, where nobody else could have a block. */
  readonly lastResortProbeMs: number;
}

export const DEFAULT_BOUNDS = {
  racedPart: 0.05,
  racedAllowanceBytes: 2 * BLOCK_BYTES,
} as const;

export interface Violation {
  readonly claim: ClaimName;
  readonly what: string;
}

interface Case extends RunRecord {
  readonly scenario: Scenario;
  readonly bounds: ClaimBounds;
}

const CLAIMS = {
  /** Who waits gets the right bytes in time. */
  reads: (run) =>
    run.reads
      .filter(({ end }) => end !== "right" && end !== "gaveUp")
      .map((read) =>
        [
          `reader ${read.reader}'s read of ${read.length} bytes of file ${read.file} from ${read.offset}`,
          `at ${read.beganMs.toFixed(0)} ms: ${read.end}: ${read.reason}`,
          ...blocksOf(read).map((blockIndex) => storyOf(run, blockIndex)),
        ].join("\n    "),
      ),

  /** Races cost little beside what is of use. */
  racedBytes({ requests, bounds }) {
    const useful = sumBytes(requests.filter(({ end }) => end === "right"));
    const ownMs = hopelessMs(BLOCK_BYTES, bounds.limits);
    const raced = sumBytes(requests.filter((request) => isRaced(request, ownMs)));
    const allowed = useful * bounds.racedPart + bounds.racedAllowanceBytes;
    return raced <= allowed
      ? []
      : [`${raced} bytes of lost races, for ${useful} of use: at most ${allowed.toFixed(0)}`];
  },

  /** Broken servers and liars cost no more than the requests that they may be sent. */
  badBytes: (run) =>
    run.scenario.servers.flatMap((plan) => {
      const requests = requestsTo(run, plan.name).filter((request) => isCostly(request));
      const bytes = sumBytes(requests);
      const sinceMs = uselessSinceMs(plan);
      const before = requests.filter(({ beganMs }) => beganMs < sinceMs).length;
      const after = sinceMs === Infinity ? 0 : allowedRequests(run, sinceMs);
      const allowed = (before + after) * BLOCK_BYTES;
      return bytes <= allowed
        ? []
        : [`${bytes} bytes of no use from ${plan.name}: at most ${allowed}`];
    }),

  /** No block is downloaded to its end twice. */
  usefulBytes({ requests }) {
    const times = new Map<number, number>();
    for (const { blockIndex, end } of requests) {
      if (end === "right") times.set(blockIndex, (times.get(blockIndex) ?? 0) + 1);
    }
    return [...times]
      .filter(([, count]) => count > 1)
      .map(([blockIndex, count]) => `block ${blockIndex} was had ${count} times`);
  },

  /** A server that gives nothing is left alone. */
  hammered: (run) =>
    run.scenario.servers.flatMap((plan) => {
      const deadMs = deadSinceMs(plan);
      const asked = requestsTo(run, plan.name).filter(({ endedMs }) => endedMs >= deadMs);
      // What was ended because nobody wanted it any more says nothing of the server.
      const seenMs = Math.min(
        ...asked.filter(({ end }) => end === "failed" || end === "lost").map((one) => one.endedMs),
      );
      const after = asked.filter(({ beganMs }) => beganMs > seenMs).length;
      const allowed = allowedRequests(run, seenMs);
      return after <= allowed
        ? []
        : [
            `${plan.name}, dead since ${deadMs} ms, first failed at ${seenMs} ms, and was asked ${after} times after it: at most ${allowed}`,
          ];
    }),

  /** Nobody is asked time and again only to be cut off at once. An answer can come in the moment it is late. */
  cutAtOnce({ requests }) {
    const cut = requests.filter((request) => isCutAtOnce(request));
    const [first] = cut;
    return first === undefined || cut.length <= 2
      ? []
      : [
          `${cut.length} requests were cut off at once, the first to ${first.server} at ${first.beganMs.toFixed(1)} ms`,
        ];
  },

  /** No server has more requests at once than it may. */
  connections: ({ requests, bounds }) =>
    requests
      .filter(({ underWay }) => underWay > bounds.limits.connectionsPerServer)
      .map(({ server, underWay }) => `${underWay} requests to ${server} at once`)
      .slice(0, 1),

  /** A server that lied is not asked again while it is banned. */
  lied: (run) =>
    run.scenario.servers.flatMap(({ name }) => {
      const requests = requestsTo(run, name);
      const firstMs = Math.min(
        ...requests.filter(({ end }) => end === "lie").map(({ endedMs }) => endedMs),
      );
      const asked = requests.filter(({ beganMs }) => beganMs > firstMs).length;
      // One request after each ban, and those that go with it before its answer is seen.
      const bans = Math.floor((run.endedMs - firstMs) / run.bounds.limits.banMs);
      const allowed = Math.max(0, bans) * run.bounds.limits.connectionsPerServer;
      return asked <= allowed ? [] : [`${name} lied, and was asked ${asked} times after it`];
    }),

  /** A 404 is believed for a while. */
  notFound: (run) =>
    run.scenario.servers.flatMap(({ name }) => {
      const lackedAtMs = new Map<number, number>();
      const again: string[] = [];
      for (const { blockIndex, beganMs, end, endedMs } of requestsTo(run, name)) {
        const atMs = lackedAtMs.get(blockIndex) ?? -Infinity;
        if (beganMs >= atMs && beganMs < atMs + run.bounds.limits.notFoundMemoryMs) {
          again.push(`${name} was asked for block ${blockIndex} soon after its 404`);
        }
        if (end === "notFound") lackedAtMs.set(blockIndex, endedMs);
      }
      return again.slice(0, 1);
    }),

  /** Equal servers share the work. */
  fair(run) {
    if (run.scenario.kind !== "equal") return [];
    const counts = run.scenario.servers.map(({ name }) => usefulCount(run, name));
    const fair = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    return Math.min(...counts) >= fair / 3
      ? []
      : [`equal servers gave ${counts.join(", ")} blocks`];
  },

  /** A faster server does more. */
  faster(run) {
    if (run.scenario.kind !== "faster") return [];
    const fast = usefulCount(run, "fast");
    return run.scenario.servers
      .filter(({ name }) => name !== "fast" && usefulCount(run, name) >= fast)
      .map(({ name }) => `${name} gave ${usefulCount(run, name)} blocks, the fast one ${fast}`);
  },

  /** The set works when all is over. */
  lastFetch: ({ lastFetch }) => (lastFetch === undefined ? [] : [lastFetch]),

  /** At the end there is nothing left. */
  leftOver: (run) => [...run.leftOver],
} as const satisfies Record<string, (run: Case) => string[]>;

export type ClaimName = keyof typeof CLAIMS;

/** All claims that a run breaks. */
export function violations(scenario: Scenario, run: RunRecord, bounds: ClaimBounds): Violation[] {
  const found: Violation[] = [];
  for (const claim of Object.keys(CLAIMS) as ClaimName[]) {
    for (const what of CLAIMS[claim]({ ...run, scenario, bounds })) found.push({ claim, what });
  }
  return found;
}

/**
 * How often a server may be asked after it was first seen to fail: as many requests as can be under way and as it takes
 * for it to rest, and after that once a rest, or once each time when nobody else is left to ask.
 */
function allowedRequests({ endedMs, bounds }: Case, seenMs: number): number {
  const { limits, lastResortProbeMs } = bounds;
  const sinceMs = Math.max(0, endedMs - seenMs);
  const probes = Math.ceil(sinceMs / limits.restMs) + Math.ceil(sinceMs / lastResortProbeMs);
  return limits.connectionsPerServer + limits.failuresBeforeRest + probes;
}

/** Begun and ended in one moment, though somebody wanted the block: nothing could come of it. */
function isCutAtOnce({ end, beganMs, endedMs }: RequestRecord): boolean {
  return end === "lost" && endedMs === beganMs;
}

/**
 * Bytes that were thrown away only because another server was asked too, or first.
 *
 * @param ownMs what a request may need: after that it has failed
 */
function isRaced({ end, isBad, beganMs, endedMs }: RequestRecord, ownMs: number): boolean {
  return end === "late" || (end === "lost" && !isBad && endedMs - beganMs < ownMs);
}

/** Bytes that a broken server made the client throw away. */
function isCostly({ end, isBad }: RequestRecord): boolean {
  return end === "lie" || end === "failed" || (end === "lost" && isBad);
}

function requestsTo({ requests }: RunRecord, name: string): RequestRecord[] {
  return requests.filter(({ server }) => server === name);
}

function usefulCount(run: RunRecord, name: string): number {
  return requestsTo(run, name).filter(({ end }) => end === "right").length;
}

function sumBytes(requests: readonly RequestRecord[]): number {
  return requests.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0);
}

function blocksOf({ file, offset, length }: ReadRecord): number[] {
  const first = Math.floor(offset / BLOCK_BYTES);
  const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
  return Array.from(
    { length: Math.min(last, BLOCKS_PER_FILE - 1) - first + 1 },
    (_, index) => file * BLOCKS_PER_FILE + first + index,
  );
}

/** Who was asked for a block, from when to when, and what came of it. */
function storyOf({ requests }: RunRecord, blockIndex: number): string {
  const parts = requests
    .filter((request) => request.blockIndex === blockIndex)
    .map(
      ({ server, beganMs, endedMs, end, receivedBytes }) =>
        `${server} ${beganMs.toFixed(0)}–${endedMs.toFixed(0)} ms ${end}, ${receivedBytes} bytes`,
    );
  return `block ${blockIndex}: ${parts.length === 0 ? "nobody was asked" : parts.join("; ")}`;
}

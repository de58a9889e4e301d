/**
 * Whether a server may be asked: the policy of rests, bans and remembered 404s.
 * Pure: no sockets, and the time is passed in. Servers are known by name alone.
 *
 * A server that fails some times in a row rests; after that one probe decides. One that gives wrong bytes
 * is banned. Both heal by themselves: a server that is never configured anew still comes back.
 */
import type { BlockHash } from "../block/hash.js";
import type { LimitsOf } from "../core/limits.js";
import { createExpiringSet } from "../core/expiringSet.js";

/** How a request ended. `abandoned`: the server has no part in it, since nobody wanted the block any more. */
export type Verdict = "ok" | "notFound" | "failed" | "lied" | "abandoned";

/** Whether a server is asked for anything now. */
export type ServerStanding =
  | { readonly type: "ready" }
  | { readonly type: "resting"; readonly forMs: number }
  | { readonly type: "banned"; readonly forMs: number };

/** Whether a server is asked for a block now, and if not, why and for how long. */
export type Standing =
  | ServerStanding
  | { readonly type: "wrongBlock"; readonly forMs: number }
  | { readonly type: "notFound"; readonly forMs: number };

/** What a verdict changed, for the log. */
export type HealthChange =
  | { readonly type: "rests"; readonly forMs: number }
  | { readonly type: "recovered" }
  | { readonly type: "banned"; readonly forMs: number };

/** How long a server was banned for at last, 0: never; and when that ends, on the clock in use. */
export interface Ban {
  readonly banMs: number;
  readonly endMs: number;
}

export interface Instant {
  readonly server: string;
  readonly hash: BlockHash;
  readonly nowMs: number;
}

export interface ServerHealth {
  standing(at: Instant): Standing;
  serverStanding(server: string, nowMs: number): ServerStanding;
  /**
   * From when on a resting server may be asked by somebody who waits and has nobody else. It is later with each
   * failure, for all blocks together, so that many who wait do not hammer a server that is down.
   */
  probeAtMs(server: string): number;
  /** A request to the server begins; each must be ended once. */
  begin(server: string): void;
  end(at: Instant, verdict: Verdict): HealthChange | undefined;
  underWay(server: string): number;
  failuresInRow(server: string): number;
  /** The last ban, ended or not, for the record. */
  lastBan(server: string): Ban;
}

interface ServerRecord {
  underWay: number;
  failuresInRow: number;
  restMs: number;
  restEndMs: number;
  probePauseMs: number;
  probeAtMs: number;
  banMs: number;
  banEndMs: number;
}

/** @param bans what an earlier process thought of servers, on the clock of this one */
export function createServerHealth(
  limits: LimitsOf<"fetch">,
  bans: ReadonlyMap<string, Ban> = new Map(),
): ServerHealth {
  const records = new Map<string, ServerRecord>();
  const notFound = createExpiringSet({
    memoryMs: limits.notFoundMemoryMs,
    maxCount: limits.notFoundMemoryCount,
  });
  const wrongBlocks = createExpiringSet({
    memoryMs: limits.maxBanMs,
    maxCount: limits.wrongBlockMemoryCount,
  });

  const recordOf = (server: string): ServerRecord => {
    const known = records.get(server);
    if (known) return known;
    const none = -Infinity;
    const ban = bans.get(server);
    const fresh = {
      underWay: 0,
      failuresInRow: 0,
      restMs: 0,
      restEndMs: none,
      probePauseMs: 0,
      probeAtMs: none,
      banMs: ban?.banMs ?? 0,
      banEndMs: ban?.endMs ?? none,
    };
    records.set(server, fresh);
    return fresh;
  };

  const serverStanding = (server: string, nowMs: number): ServerStanding => {
    const record = recordOf(server);
    if (record.banEndMs > nowMs) return { type: "banned", forMs: record.banEndMs - nowMs };
    if (record.restEndMs > nowMs) return { type: "resting", forMs: record.restEndMs - nowMs };
    // After a rest one request at a time is the probe; the others treat the server as still resting.
    const isProbed = record.restMs > 0 && record.underWay > 0;
    return isProbed ? { type: "resting", forMs: 0 } : { type: "ready" };
  };

  const standing = ({ server, hash, nowMs }: Instant): Standing => {
    const ofServer = serverStanding(server, nowMs);
    if (ofServer.type === "banned") return ofServer;
    const key = `${server} ${hash}`;
    const wrongMs = wrongBlocks.remainingMs(key, nowMs);
    if (wrongMs > 0) return { type: "wrongBlock", forMs: wrongMs };
    const notFoundMs = notFound.remainingMs(key, nowMs);
    return notFoundMs > 0 ? { type: "notFound", forMs: notFoundMs } : ofServer;
  };

  return {
    standing,
    serverStanding,
    probeAtMs: (server) => recordOf(server).probeAtMs,
    begin(server) {
      recordOf(server).underWay += 1;
    },
    end({ server, hash, nowMs }, verdict) {
      const record = recordOf(server);
      const key = `${server} ${hash}`;
      record.underWay = Math.max(0, record.underWay - 1);
      switch (verdict) {
        case "abandoned":
          return undefined;
        case "ok":
          notFound.delete(key);
          return recover(record);
        case "notFound":
          notFound.add(key, nowMs);
          return recover(record);
        case "failed":
          return noteFailure(record, nowMs, limits);
        case "lied":
          wrongBlocks.add(key, nowMs);
          return ban(record, nowMs, limits);
      }
    },
    underWay: (server) => recordOf(server).underWay,
    failuresInRow: (server) => recordOf(server).failuresInRow,
    lastBan: (server) => {
      const { banMs, banEndMs } = recordOf(server);
      return { banMs, endMs: banEndMs };
    },
  };
}

function recover(record: ServerRecord): HealthChange | undefined {
  const wasResting = record.restMs > 0;
  record.failuresInRow = 0;
  record.restMs = 0;
  record.restEndMs = -Infinity;
  record.probePauseMs = 0;
  record.probeAtMs = -Infinity;
  return wasResting ? { type: "recovered" } : undefined;
}

function noteFailure(
  record: ServerRecord,
  nowMs: number,
  limits: LimitsOf<"fetch">,
): HealthChange | undefined {
  const { failuresBeforeRest, restMs, maxRestMs, roundPauseMs, maxRoundPauseMs } = limits;
  record.failuresInRow += 1;
  record.probePauseMs = Math.min(Math.max(roundPauseMs, record.probePauseMs * 2), maxRoundPauseMs);
  record.probeAtMs = nowMs + record.probePauseMs;
  // Requests that were under way when the rest began say nothing new.
  if (record.failuresInRow < failuresBeforeRest || record.restEndMs > nowMs) return undefined;
  record.restMs = Math.min(record.restMs === 0 ? restMs : record.restMs * 2, maxRestMs);
  record.restEndMs = nowMs + record.restMs;
  return { type: "rests", forMs: record.restMs };
}

function ban(
  record: ServerRecord,
  nowMs: number,
  { banMs, maxBanMs }: LimitsOf<"fetch">,
): HealthChange | undefined {
  if (record.banEndMs > nowMs) return undefined;
  // One that was good as long as the longest ban begins anew.
  const isForgiven = nowMs - record.banEndMs >= maxBanMs;
  record.banMs = isForgiven ? banMs : Math.min(record.banMs * 2, maxBanMs);
  record.banEndMs = nowMs + record.banMs;
  return { type: "banned", forMs: record.banMs };
}

/**
 * What is thought of each server, and whom to ask next: the policy of rests, bans and remembered 404s.
 * Pure: no sockets, and the time is passed in. Servers are known by name alone.
 *
 * A server that fails some times in a row rests; after that one probe decides. One that gives wrong bytes
 * is banned. Both heal by themselves: a server that is never configured anew still comes back.
 */
import type { BlockHash } from "../block/hash.js";
import type { LimitsOf } from "../core/limits.js";
import { createExpiringSet } from "./expiringSet.js";

/** How a request ended. `abandoned`: nothing was learned, since the caller went away. */
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

export interface Instant {
  readonly server: string;
  readonly hash: BlockHash;
  readonly nowMs: number;
}

export interface ServerHealth {
  /**
   * Whom to ask, in order: ready servers first, fewest requests under way first, ties as configured;
   * then, as the last resort, the resting ones. Banned servers and known 404s are left out.
   */
  candidates(query: {
    readonly hash: BlockHash;
    readonly nowMs: number;
    readonly servers: readonly string[];
  }): string[];
  standing(at: Instant): Standing;
  serverStanding(server: string, nowMs: number): ServerStanding;
  /** A request to the server begins; each must be ended once. */
  begin(server: string): void;
  end(at: Instant, verdict: Verdict): HealthChange | undefined;
  underWay(server: string): number;
  failuresInRow(server: string): number;
}

interface ServerRecord {
  underWay: number;
  failuresInRow: number;
  restMs: number;
  restEndMs: number;
  banMs: number;
  banEndMs: number;
}

export function createServerHealth(limits: LimitsOf<"fetch">): ServerHealth {
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
    const fresh = {
      underWay: 0,
      failuresInRow: 0,
      restMs: 0,
      restEndMs: none,
      banMs: 0,
      banEndMs: none,
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
    candidates({ hash, nowMs, servers }) {
      const among = (type: "ready" | "resting"): string[] =>
        servers
          .filter((server) => standing({ server, hash, nowMs }).type === type)
          .sort((a, b) => recordOf(a).underWay - recordOf(b).underWay);
      return [...among("ready"), ...among("resting")];
    },
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
  };
}

function recover(record: ServerRecord): HealthChange | undefined {
  const wasResting = record.restMs > 0;
  record.failuresInRow = 0;
  record.restMs = 0;
  record.restEndMs = -Infinity;
  return wasResting ? { type: "recovered" } : undefined;
}

function noteFailure(
  record: ServerRecord,
  nowMs: number,
  { failuresBeforeRest, restMs, maxRestMs }: LimitsOf<"fetch">,
): HealthChange | undefined {
  record.failuresInRow += 1;
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

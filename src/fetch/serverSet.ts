/**
 * All configured servers as one source of blocks. It owns their connections, from creation to `close`,
 * and joins them with the policy; how one block is fetched stands in blockFetch.ts.
 */
import type { BlockHash } from "../block/hash.js";
import type { BlockRequest, BlockSource } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { abortReason } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS, type LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { fetchBlock, type BlockFetchContext } from "./blockFetch.js";
import type { HttpServer } from "./httpServer.js";
import { createServerHealth } from "./serverHealth.js";

export interface ServerStatus {
  /** The address without credentials. */
  readonly server: string;
  readonly state: "ready" | "resting" | "banned";
  /** How long the state still lasts; 0 where it is ready, or a probe is under way. */
  readonly forMs: number;
  readonly requestsUnderWay: number;
  readonly failuresInRow: number;
}

export interface ServerSet extends BlockSource {
  /** What is thought of each server now, in configured order. */
  status(): ServerStatus[];
  /** Ends what is under way with ERR_PSYNC_INTERRUPTED and closes every connection. */
  close(): Promise<void>;
}

export interface ServerSetOptions {
  /** Whom to ask, the preferred first. One named twice counts once. They are closed with the set. */
  readonly servers: readonly HttpServer[];
  readonly clock: Clock;
  readonly log: Logger;
  /** Told at the end of each fetch, had or not, what each server that was asked did: `http://a:8000: 404`. */
  readonly explain?: (hash: BlockHash, lines: readonly string[]) => void;
  /** How long one fetch waits for servers that could come back; 0: not at all. */
  readonly patienceMs?: number;
  /** In place of LIMITS.fetch. */
  readonly limits?: Partial<LimitsOf<"fetch">>;
}

/**
 * Makes a source of servers that need not be trusted: what it gives is verified.
 * No connection is made before the first fetch.
 */
export function createServerSet(options: ServerSetOptions): ServerSet {
  const { clock, log, patienceMs, explain = () => undefined } = options;
  const limits: LimitsOf<"fetch"> = {
    ...LIMITS.fetch,
    ...options.limits,
    ...(patienceMs === undefined ? {} : { patienceMs }),
  };
  const servers = new Map<string, HttpServer>();
  for (const server of options.servers) {
    if (!servers.has(server.name)) servers.set(server.name, server);
  }
  const health = createServerHealth(limits);
  const context: BlockFetchContext = { servers, health, clock, log, limits, explain };
  const underWay = new Set<AbortController>();
  let isClosed = false;

  const fetch = async (request: BlockRequest): Promise<VerifiedBlock> => {
    if (request.signal.aborted) throw abortReason(request.signal);
    if (isClosed) throw closedError();
    if (servers.size === 0) throw noServers(request);
    // Both the caller and `close` can end it.
    const controller = new AbortController();
    const onAbort = (): void => {
      controller.abort(abortReason(request.signal));
    };
    request.signal.addEventListener("abort", onAbort, { once: true });
    underWay.add(controller);
    try {
      return await fetchBlock(context, { ...request, signal: controller.signal });
    } finally {
      underWay.delete(controller);
      request.signal.removeEventListener("abort", onAbort);
    }
  };

  const statusOf = (server: string): ServerStatus => {
    const standing = health.serverStanding(server, clock.nowMs());
    return {
      server,
      state: standing.type,
      forMs: standing.type === "ready" ? 0 : standing.forMs,
      requestsUnderWay: health.underWay(server),
      failuresInRow: health.failuresInRow(server),
    };
  };

  return {
    fetch,
    status: () => [...servers.keys()].map(statusOf),
    async close() {
      isClosed = true;
      for (const controller of underWay) controller.abort(closedError());
      await Promise.all([...servers.values()].map((server) => server.close()));
    },
  };
}

function closedError(): PsyncError {
  return new PsyncError("ERR_PSYNC_INTERRUPTED", "the fetch was ended: psync is shutting down");
}

function noServers({ hash }: BlockRequest): PsyncError {
  return new PsyncError(
    "ERR_PSYNC_BLOCK_NOT_FOUND",
    `block ${hash} is not here, and there is no server to ask`,
    { hint: "name one with --server URL or in PSYNC_SERVERS" },
  );
}

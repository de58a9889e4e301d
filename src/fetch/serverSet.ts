/**
 * All configured servers as one source of blocks. It owns their connections, from creation to `close`,
 * and joins them with the policy; how one block is fetched stands in blockFetch.ts.
 */
import type { BlockHash } from "../block/hash.js";
import type { BlockRequest, BlockSource, ServerMemory } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { abortReason } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS, type LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { RateLimiter } from "../core/rateLimiter.js";
import { createWaitQueue } from "../core/waitQueue.js";
import { fetchBlock, type BlockFetchContext } from "./blockFetch.js";
import type { HttpServer } from "./httpServer.js";
import { createRaceBudget } from "./raceBudget.js";
import { whenPaid, withCharges } from "./rateLimited.js";
import { createServerBook } from "./serverBook.js";

const NO_RECORDS: ServerMemory = { load: () => new Map(), save: () => undefined };

export interface ServerStatus {
  /** The address without credentials. */
  readonly server: string;
  readonly state: "ready" | "resting" | "banned";
  /** How long the state still lasts; 0 where it is ready, or a probe is under way. */
  readonly forMs: number;
  readonly requestsUnderWay: number;
  /** How many it is given at once. */
  readonly requestLimit: number;
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
  /** How long one fetch waits for servers that could come back; 0: not at all. */
  readonly patienceMs?: number;
  /** How fast blocks may come from all of them together; undefined: as fast as they can. */
  readonly rateLimiter?: RateLimiter | undefined;
  /** Where what is known of servers comes from, and goes to at times and at the close. */
  readonly records?: ServerMemory | undefined;
  /** The time of day, in ms since 1970: bans last over restarts. */
  readonly unixMs?: () => number;
  /** Is told of every fetch what each server did, a line each. */
  readonly explain?: ((hash: BlockHash, lines: readonly string[]) => void) | undefined;
  /** In place of LIMITS.fetch. */
  readonly limits?: Partial<LimitsOf<"fetch">>;
}

/**
 * Makes a source of servers that need not be trusted: what it gives is verified.
 * No connection is made before the first fetch.
 */
export function createServerSet(options: ServerSetOptions): ServerSet {
  const { clock, log, patienceMs, rateLimiter } = options;
  const limits: LimitsOf<"fetch"> = {
    ...LIMITS.fetch,
    ...options.limits,
    ...(patienceMs === undefined ? {} : { patienceMs }),
  };
  const servers = new Map<string, HttpServer>();
  for (const server of options.servers) {
    if (servers.has(server.name)) continue;
    servers.set(server.name, rateLimiter ? withCharges(server, rateLimiter) : server);
  }
  const { records = NO_RECORDS, unixMs = Date.now, explain = () => undefined } = options;
  const book = createServerBook({
    servers: [...servers.keys()],
    limits,
    nowMs: clock.nowMs(),
    records: records.load(),
    nowUnixMs: unixMs(),
  });
  const context: BlockFetchContext = {
    servers,
    book,
    queue: createWaitQueue(),
    budget: createRaceBudget(limits),
    clock,
    log,
    limits,
    explain,
  };
  const underWay = new Set<AbortController>();
  let isClosed = false;
  let savedMs = clock.nowMs();

  const save = (): void => {
    savedMs = clock.nowMs();
    records.save(book.records(savedMs, unixMs()));
  };

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
      const heeding = { ...request, signal: controller.signal };
      const fetchNow = (): Promise<VerifiedBlock> => fetchBlock(context, heeding);
      return await (rateLimiter ? whenPaid(rateLimiter, heeding, fetchNow) : fetchNow());
    } finally {
      underWay.delete(controller);
      if (clock.nowMs() - savedMs >= limits.recordSaveMs) save();
      request.signal.removeEventListener("abort", onAbort);
    }
  };

  const statusOf = (server: string): ServerStatus => {
    const { health } = book;
    const standing = health.serverStanding(server, clock.nowMs());
    return {
      server,
      state: standing.type,
      forMs: standing.type === "ready" ? 0 : standing.forMs,
      requestsUnderWay: health.underWay(server),
      requestLimit: book.requestLimit(server),
      failuresInRow: health.failuresInRow(server),
    };
  };

  return {
    fetch,
    status: () => [...servers.keys()].map(statusOf),
    async close() {
      isClosed = true;
      for (const controller of underWay) controller.abort(closedError());
      save();
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

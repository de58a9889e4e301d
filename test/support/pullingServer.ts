/** psync's block server as `serve --server` runs it, on a loopback port, with short times and its requests counted. */
import { createPullThrough } from "../../src/compose.js";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockStore } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import type { LimitsOf } from "../../src/core/limits.js";
import { silentLogger, type Logger } from "../../src/core/log.js";
import type { HttpServer } from "../../src/fetch/httpServer.js";
import { createServerSet, type ServerStatus } from "../../src/fetch/serverSet.js";
import { createBlockServer } from "../../src/server/blockServer.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { startFaultyServer } from "./faultyServer.js";
import { httpServers } from "./httpServers.js";
import { createTinyStore } from "./tinyStore.js";

export interface PullingServer {
  readonly url: string;
  readonly port: number;
  readonly pseudonym: string;
  /** How often it asked a server, for one block or for all together. */
  askedCount(hash?: BlockHash): number;
  /** The most requests it had under way at once. */
  mostUnderWay(): number;
  /** What it thinks of the servers that it asks. */
  status(): readonly ServerStatus[];
  close(): Promise<void>;
}

export interface PullingServerOptions {
  /** Whom it asks. */
  readonly urls: readonly string[];
  readonly store?: BlockStore;
  readonly port?: number;
  readonly limits?: Partial<LimitsOf<"server">>;
  readonly fetchLimits?: Partial<LimitsOf<"fetch">>;
  readonly log?: Logger;
}

/** Servers that come back are not waited for long; what stalls is only given up where a test says when. */
const QUICK: Partial<LimitsOf<"fetch">> = {
  headersTimeoutMs: 60_000,
  slowWindowMs: 60_000,
  patienceMs: 200,
  roundPauseMs: 20,
  maxRoundPauseMs: 50,
  // So that what is asked for at once is what the server allows itself.
  newcomerRequests: 32,
  firstRequestLimit: 32,
};

/** Starts it; it is closed with its connections when the test ends. */
export async function startPullingServer(
  t: CleanUpContext,
  options: PullingServerOptions,
): Promise<PullingServer> {
  const { urls, store = createTinyStore(), port = 0, limits = {}, log = silentLogger } = options;
  const fetchLimits = { ...QUICK, ...options.fetchLimits };
  const asked: BlockHash[] = [];
  let underWay = 0;
  let mostUnderWay = 0;
  const counted = (server: HttpServer): HttpServer => ({
    ...server,
    async fetchBytes(request, onReceived) {
      asked.push(request.hash);
      underWay += 1;
      mostUnderWay = Math.max(mostUnderWay, underWay);
      try {
        return await server.fetchBytes(request, onReceived);
      } finally {
        underWay -= 1;
      }
    },
  });
  const servers = createServerSet({
    servers: httpServers(urls, fetchLimits).map(counted),
    clock: systemClock,
    log,
    limits: fetchLimits,
  });
  const pullThrough = createPullThrough({ store, servers, log });
  const server = createBlockServer({
    store,
    pullThrough,
    log,
    clock: systemClock,
    limits: { closeGraceMs: 100, pullAnswerMs: 60_000, ...limits },
  });
  const { port: bound } = await server.listen({ host: "127.0.0.1", port });
  const close = async (): Promise<void> => {
    await server.close();
    await pullThrough.close();
  };
  cleanUp(t, close);
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    pseudonym: pullThrough.pseudonym,
    askedCount: (hash) =>
      hash === undefined ? asked.length : asked.filter((one) => one === hash).length,
    mostUnderWay: () => mostUnderWay,
    status: () => servers.status(),
    close,
  };
}

/** A port that was free a moment ago, for servers that must know each other before they listen. */
export async function freePort(): Promise<number> {
  const server = await startFaultyServer({ blocks: [], seed: 0, fault: "none" });
  await server.close();
  return server.port;
}

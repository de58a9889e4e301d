/**
 * One server: asks it for one block's raw bytes. It neither verifies them nor tries again;
 * which server to ask, and what to think of it afterwards, is for the server set.
 */
import { Pool } from "undici";
import type { BlockRequest } from "../block/ports.js";
import { abortReason } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";
import { createConnector } from "./connector.js";
import { Exchange } from "./exchange.js";
import type { FetchOutcome } from "./outcome.js";
import type { ServerUrl } from "./serverUrl.js";

/** What a request has brought so far: 0 at the head of an answer that may be the block, then more and more. */
export type OnReceived = (receivedBytes: number) => void;

export interface HttpServer {
  /** The address without credentials. */
  readonly name: string;
  /**
   * Asks for a block; the bytes are not verified.
   *
   * @returns the bytes, that the server has none, or how it failed; a failure of the server is never thrown
   * @throws the signal's reason, as soon as it is aborted; the connection is closed
   */
  fetchBytes(request: BlockRequest, onReceived?: OnReceived): Promise<FetchOutcome>;
  /** Closes every connection; what is under way fails. */
  close(): Promise<void>;
}

export function createHttpServer(
  url: ServerUrl,
  { clock, limits }: { readonly clock: Clock; readonly limits: LimitsOf<"fetch"> },
): HttpServer {
  const { connectTimeoutMs, connectionsPerServer, maxHeaderBytes } = limits;
  let underWay = 0;
  const connector = createConnector({ clock, connectTimeoutMs, isWanted: () => underWay > 0 });
  const pool = new Pool(url.origin, {
    connect: connector.connect,
    connections: connectionsPerServer,
    pipelining: 1,
    maxHeaderSize: maxHeaderBytes,
    // The exchange has its own timers, on the clock that was passed in.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const authorization = url.authorization();
  const headers = {
    accept: "application/octet-stream, */*;q=0.1",
    "accept-encoding": "identity",
    "user-agent": "psync",
    ...(authorization === undefined ? {} : { authorization }),
  };

  const fetchBytes: HttpServer["fetchBytes"] = (request, onReceived) =>
    new Promise((resolve, reject) => {
      const { hash, maxBytes, signal, via = [] } = request;
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const leave = (): void => {
        signal.removeEventListener("abort", onAbort);
        underWay -= 1;
        if (underWay === 0) connector.giveUpConnecting();
      };
      const onAbort = (): void => {
        exchange.abandon();
        leave();
        reject(abortReason(signal));
      };
      const exchange = new Exchange({
        maxBytes,
        clock,
        limits,
        onReceived: onReceived ?? (() => undefined),
        onOutcome: (outcome) => {
          leave();
          resolve(outcome);
        },
      });
      underWay += 1;
      signal.addEventListener("abort", onAbort, { once: true });
      const path = url.basePath + hash;
      pool.dispatch({ method: "GET", path, headers: { ...headers, ...viaHeader(via) } }, exchange);
    });

  return {
    name: url.display,
    fetchBytes,
    async close() {
      const destroyed = pool.destroy();
      connector.destroy();
      await destroyed;
    },
  };
}

/** Source: RFC 9110, section 7.6.3. */
function viaHeader(via: readonly string[]): Record<string, string> {
  return via.length === 0 ? {} : { via: via.map((name) => `1.1 ${name}`).join(", ") };
}

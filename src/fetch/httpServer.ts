/**
 * One server: asks it for one block's raw bytes. It neither verifies them nor tries again;
 * which server to ask, and what to think of it afterwards, is for the server set.
 */
import type { BlockRequest } from "../block/ports.js";
import { abortReason } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";
import { createDispatcher } from "./dispatcher.js";
import { Exchange } from "./exchange.js";
import type { FetchOutcome } from "./outcome.js";
import type { ServerSettings } from "./serverSettings.js";

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

export interface HttpServerParts {
  readonly clock: Clock;
  readonly limits: LimitsOf<"fetch">;
}

export function createHttpServer(
  server: ServerSettings,
  { clock, limits }: HttpServerParts,
): HttpServer {
  const { url } = server;
  let underWay = 0;
  const dispatcher = createDispatcher(server, { clock, limits, isWanted: () => underWay > 0 });
  const authorization = url.authorization();
  const headers = {
    accept: "application/octet-stream, */*;q=0.1",
    "accept-encoding": "identity",
    "user-agent": "psync",
    ...server.headers(),
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
        if (underWay === 0) dispatcher.giveUpConnecting();
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
          resolve(namingProxy(outcome, dispatcher.proxyName()));
        },
      });
      underWay += 1;
      signal.addEventListener("abort", onAbort, { once: true });
      const path = url.basePath + hash;
      dispatcher.dispatch(
        { method: "GET", path, headers: { ...headers, ...viaHeader(via) } },
        exchange,
      );
    });

  return {
    name: url.display,
    fetchBytes,
    close: () => dispatcher.destroy(),
  };
}

/** Source: RFC 9110, section 7.6.3. */
function viaHeader(via: readonly string[]): Record<string, string> {
  return via.length === 0 ? {} : { via: via.map((name) => `1.1 ${name}`).join(", ") };
}

/** A failure that a proxy had part in says so: the server may be fine. */
function namingProxy(outcome: FetchOutcome, proxyName: string | undefined): FetchOutcome {
  if (outcome.type !== "failed" || proxyName === undefined) return outcome;
  return { ...outcome, reason: `${outcome.reason} (through the proxy ${proxyName})` };
}

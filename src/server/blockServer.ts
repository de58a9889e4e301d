/**
 * The HTTP server over a store: listening, connections and their bounds, and the end of them.
 * What is answered to a request stands in blockHandler.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";
import type { BlockSource, BlockStore } from "../block/ports.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, PsyncError, systemErrorCode } from "../core/errors.js";
import { LIMITS, type LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { createSemaphore } from "../core/semaphore.js";
import { handleRequest } from "./blockHandler.js";
import { createPulls } from "./pulls.js";
import { urlsOf, type ServerAddress } from "./serverAddress.js";

export interface BlockServer {
  /**
   * Starts to listen; called once. `localhost` is 127.0.0.1.
   *
   * @throws ERR_PSYNC_FAILED the address is in use, not allowed, or not of this machine
   */
  listen(address: ServerAddress): Promise<Listening>;
  /** Takes no more requests, finishes what is under way within the grace, closes every connection. */
  close(): Promise<void>;
}

export interface Listening {
  /** The IP address that was bound. */
  readonly host: string;
  readonly port: number;
  /** Where the server is reached, for a server on every interface from other machines; at least one. */
  readonly urls: readonly string[];
}

/** How a server fetches what its store lacks. */
export interface PullThrough {
  /** Gives what is in the store, and otherwise fetches it and puts it there. */
  readonly source: BlockSource;
  /** What the server calls itself to others, as `createPseudonym` makes it. */
  readonly pseudonym: string;
}

export interface BlockServerOptions {
  readonly store: BlockStore;
  /** Nothing is fetched unless it is given. */
  readonly pullThrough?: PullThrough | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  /** In place of LIMITS.server. */
  readonly limits?: Partial<LimitsOf<"server">>;
}

/** Makes a server of a store's blocks. Source: docs/protocol.md. */
export function createBlockServer(options: BlockServerOptions): BlockServer {
  const { store, pullThrough, log, clock } = options;
  const limits: LimitsOf<"server"> = { ...LIMITS.server, ...options.limits };
  const places = createSemaphore(limits.maxRequests);
  const pulls = pullThrough && createPulls({ ...pullThrough, clock, log, limits });
  const context = { store, pulls, log, clock, limits, places };
  const answers = new Set<ServerResponse>();
  let isClosing = false;

  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    answers.add(response);
    response.once("close", () => answers.delete(response));
    if (isClosing) response.setHeader("connection", "close");
    void handleRequest(context, request, response);
  };

  const { requestTimeoutMs } = limits;
  const http = createServer({ requestTimeout: requestTimeoutMs, headersTimeout: requestTimeoutMs });
  http.maxConnections = limits.maxConnections;
  // A connection where nothing moves ends; waiting for a place and for the store have their own, earlier ends.
  http.timeout = 2 * requestTimeoutMs;
  http.on("request", onRequest);
  // Whoever asks before sending a body is answered without being told to go on.
  http.on("checkContinue", onRequest).on("checkExpectation", onRequest);
  http.on("clientError", answerRubbish);

  return {
    async listen(address) {
      await startListening(http, address);
      const bound = http.address();
      if (bound === null || typeof bound === "string") {
        throw new PsyncError("ERR_PSYNC_FAILED", "the server has no address");
      }
      const urls = urlsOf(bound, networkInterfaces());
      return { host: bound.address, port: bound.port, urls };
    },
    async close() {
      isClosing = true;
      pulls?.close();
      if (!http.listening) return;
      const closed = new Promise<void>((resolve) =>
        http.close(() => {
          resolve();
        }),
      );
      for (const response of answers) {
        if (!response.headersSent) response.setHeader("connection", "close");
        // A connection whose answer had begun would otherwise be kept for another request.
        response.once("finish", () => {
          setImmediate(() => {
            http.closeIdleConnections();
          });
        });
      }
      const cancelTimer = clock.after(limits.closeGraceMs, () => {
        http.closeAllConnections();
      });
      await closed;
      cancelTimer();
    },
  };
}

function startListening(http: Server, { host, port }: ServerAddress): Promise<void> {
  // The name has two addresses; the one that every client tries is taken.
  const wanted = host?.toLowerCase() === "localhost" ? "127.0.0.1" : host;
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      reject(listenError(error, `${host ?? ""}:${port}`));
    };
    http.once("error", onError);
    http.listen({ port, ...(wanted === undefined ? {} : { host: wanted }) }, () => {
      http.off("error", onError);
      resolve();
    });
  });
}

function listenError(cause: Error, shown: string): PsyncError {
  const [problem, hint] = problemOf(cause);
  return new PsyncError("ERR_PSYNC_FAILED", `cannot listen on ${shown}: ${problem}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}

function problemOf(cause: Error): readonly [problem: string, hint?: string] {
  switch (systemErrorCode(cause) ?? "") {
    case "EADDRINUSE":
      return [
        "the address is in use",
        "stop what listens there, or choose another port; port 0 takes a free one",
      ];
    case "EACCES":
      return ["not allowed", "ports below 1024 are for root; choose a higher one"];
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return ["not an address of this machine", "write :PORT to listen on every interface"];
    default:
      return [errorMessage(cause)];
  }
}

/** Answers what is not HTTP, or took too long to become it, and hangs up. */
function answerRubbish(error: Error, socket: Duplex): void {
  const status = RUBBISH_STATUS[systemErrorCode(error) ?? ""] ?? "400 Bad Request";
  if (!socket.writable || systemErrorCode(error) === "ECONNRESET") {
    socket.destroy();
    return;
  }
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => {
    socket.destroy();
  });
}

const RUBBISH_STATUS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

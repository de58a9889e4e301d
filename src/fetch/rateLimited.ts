/**
 * A limit on the rate, around the fetches of a set of servers: each block is paid for before it is asked for, and what
 * came is settled afterwards. No connection is ever held back, so that a server sees a client that reads as fast as it
 * can, and its speed is its own.
 */
import type { BlockRequest } from "../block/ports.js";
import type { RateLimiter } from "../core/rateLimiter.js";
import type { HttpServer } from "./httpServer.js";

/**
 * Runs a fetch once its block may come: as many bytes are taken as it can have, and given back at its end, when the
 * servers of `withCharges` have charged what really came.
 *
 * @throws the request's signal's reason, what the fetch throws
 */
export async function whenPaid<T>(
  limiter: RateLimiter,
  request: BlockRequest,
  fetch: () => Promise<T>,
): Promise<T> {
  const { maxBytes, onTurn } = request;
  await limiter.take(maxBytes, request);
  try {
    onTurn?.();
    return await fetch();
  } finally {
    limiter.giveBack(maxBytes);
  }
}

/** The server, where each request charges what it brought, whatever it came to: blocks, lies, halves, lost races. */
export function withCharges(server: HttpServer, limiter: RateLimiter): HttpServer {
  return {
    ...server,
    async fetchBytes(request, onReceived) {
      let cameBytes = 0;
      try {
        return await server.fetchBytes(request, (receivedBytes) => {
          cameBytes = receivedBytes;
          onReceived?.(receivedBytes);
        });
      } finally {
        // Not before: until the end of its fetch these bytes are taken already.
        limiter.charge(cameBytes);
      }
    },
  };
}

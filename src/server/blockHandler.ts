/**
 * Answers one HTTP request for a block. It knows the store and the protocol (docs/protocol.md),
 * but no sockets beyond the response it writes to, and no addresses.
 */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import { parseBlockHash, type BlockHash } from "../block/hash.js";
import type { BlockStore } from "../block/ports.js";
import { orAbort, withDeadline } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { ERROR_TABLE, errorMessage, isPsyncError, PsyncError } from "../core/errors.js";
import type { LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { Semaphore } from "../core/semaphore.js";
import { chooseRange, isNotModified } from "./conditions.js";

export interface BlockHandlerContext {
  readonly store: BlockStore;
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits: LimitsOf<"server">;
  /** One place for every block held in memory. */
  readonly places: Semaphore;
}

/** Answers; settles when the response is written or its connection gone, and never rejects. */
export async function handleRequest(
  context: BlockHandlerContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => {
    gone.abort(new Error("the client is gone"));
  });
  response.setHeader("x-content-type-options", "nosniff");
  // A body is never read: it ends with the connection.
  if (hasBody(request)) response.setHeader("connection", "close");
  try {
    await answer(context, request, response, gone.signal);
  } catch (error) {
    if (gone.signal.aborted) return;
    const status = isPsyncError(error) ? ERROR_TABLE[error.code].httpStatus : 500;
    context.log.warn(`${request.method ?? ""} answered ${status}: ${errorMessage(error)}`);
    if (response.headersSent) response.destroy();
    else refuse(response, status, status === 503 ? { "retry-after": "1" } : {});
  }
}

async function answer(
  context: BlockHandlerContext,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    refuse(response, 405, { allow: "GET, HEAD" });
    return;
  }
  const hash = hashOfTarget(request.url ?? "");
  const found = hash && (await orAbort(context.store.find(hash), signal));
  if (hash === undefined || found === undefined) {
    refuse(response, 404);
    return;
  }
  const etag = `"${hash}"`;
  if (isNotModified(request.headers["if-none-match"], etag)) {
    response.writeHead(304, blockHeaders(etag)).end();
  } else if (request.method === "HEAD") {
    // The length is the file's; only a GET reads and verifies the bytes.
    response.writeHead(200, { ...blockHeaders(etag), "content-length": found.sizeBytes }).end();
  } else {
    await sendBlock(context, { hash, etag, request, response, signal });
  }
}

/** The block a request's target names: exactly `/` and 64 lower-case hex digits, as a file server would have it. */
function hashOfTarget(target: string): BlockHash | undefined {
  // A proxy may write the whole URL (RFC 9112, section 3.2.2).
  const path = target.replace(/^https?:\/\/[^/]*/i, "");
  return /^\/[0-9a-f]{64}$/.test(path) ? parseBlockHash(path.slice(1)) : undefined;
}

interface Sending {
  readonly hash: BlockHash;
  readonly etag: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

/** Takes a place for as long as the block is in memory: until it is sent, or the client is gone or too slow. */
async function sendBlock(context: BlockHandlerContext, sending: Sending): Promise<void> {
  const { store, clock, limits } = context;
  const { hash, etag, request, response, signal } = sending;
  const timeoutMs = limits.requestTimeoutMs;
  const release = await takePlace(context, signal);
  const reading = store.read(hash);
  try {
    const deadline = { clock, timeoutMs, signal, onDeadline: readTooLong };
    const block = await withDeadline(deadline, () => reading);
    if (!block) {
      refuse(response, 404);
      return;
    }
    const sizeBytes = block.bytes.length;
    const { range, "if-range": ifRange } = request.headers;
    const chosen = chooseRange({ range, ifRange: headerText(ifRange) }, sizeBytes, etag);
    if (chosen.type === "unsatisfiable") {
      refuse(response, 416, { "content-range": `bytes */${sizeBytes}` });
      return;
    }
    const { start, end } = chosen.type === "part" ? chosen : { start: 0, end: sizeBytes };
    response.writeHead(chosen.type === "part" ? 206 : 200, {
      ...blockHeaders(etag),
      "content-length": end - start,
      ...(chosen.type === "part"
        ? { "content-range": `bytes ${start}-${end - 1}/${sizeBytes}` }
        : {}),
    });
    const sendTimeoutMs = timeoutMs + ((end - start) / limits.slowBytesPerSecond) * 1000;
    const cancelTimer = clock.after(sendTimeoutMs, () => response.destroy());
    response.end(block.bytes.subarray(start, end));
    await untilClosed(response, signal);
    cancelTimer();
  } finally {
    // A read goes on after its client has gone, and its block counts until then.
    reading.then(release, release);
  }
}

function takePlace(
  { clock, limits, places }: BlockHandlerContext,
  signal: AbortSignal,
): Promise<() => void> {
  const timeoutMs = limits.requestTimeoutMs;
  return withDeadline({ clock, timeoutMs, signal, onDeadline: busy }, async (ending) => {
    const release = await places.acquire(1, { signal: ending });
    // Granted in the moment of the end: nobody else would give the place back.
    if (ending.aborted) release();
    return release;
  });
}

/** "close" comes after the last byte was handed to the system as well as when the connection broke. */
function untilClosed(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (response.writableFinished || signal.aborted) resolve();
    else response.once("finish", resolve).once("close", resolve);
  });
}

function blockHeaders(etag: string): Record<string, string> {
  return {
    "content-type": "application/octet-stream",
    etag,
    // A name never means other bytes, so whoever has them need not ask again.
    "cache-control": "public, max-age=31536000, immutable",
    "accept-ranges": "bytes",
  };
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

/** An answer without a block; it says its status and nothing of what lies behind. */
function refuse(
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
): void {
  const text = `${STATUS_CODES[status] ?? "Error"}\n`;
  response
    .writeHead(status, {
      "content-type": "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(text),
      "cache-control": "no-store",
      ...headers,
    })
    .end(text);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return (headers["content-length"] ?? "0") !== "0" || headers["transfer-encoding"] !== undefined;
}

function busy(): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", "too many requests under way");
}

function readTooLong(): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", "the store took too long to read a block");
}

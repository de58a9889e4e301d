/** How answers to requests for blocks are written: the block, a part of it, its headers, or why there is none. */
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { BlockHash } from "../block/hash.js";
import type { VerifiedBlock } from "../block/verify.js";
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";
import { chooseRange, isNotModified } from "./conditions.js";

/** A request for a block, and where its answer goes. */
export interface Asked {
  readonly hash: BlockHash;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** Answers what asks for no bytes, that a block is unchanged or how long it is. @returns whether that was asked */
export function answerWithoutBytes({ hash, request, response }: Asked, sizeBytes: number): boolean {
  const etag = etagOf(hash);
  if (isNotModified(request.headers["if-none-match"], etag)) {
    response.writeHead(304, blockHeaders(etag)).end();
    return true;
  }
  if (request.method !== "HEAD") return false;
  response.writeHead(200, { ...blockHeaders(etag), "content-length": sizeBytes }).end();
  return true;
}

/** Sends what is asked of a block; settles when it is sent, or the client is gone or too slow. */
export async function sendBytes(
  { clock, limits }: { readonly clock: Clock; readonly limits: LimitsOf<"server"> },
  { hash, request, response, signal }: Asked,
  { bytes }: VerifiedBlock,
): Promise<void> {
  const etag = etagOf(hash);
  const sizeBytes = bytes.length;
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
  const sendTimeoutMs =
    limits.requestTimeoutMs + ((end - start) / limits.slowBytesPerSecond) * 1000;
  const cancelTimer = clock.after(sendTimeoutMs, () => response.destroy());
  response.end(bytes.subarray(start, end));
  await untilClosed(response, signal);
  cancelTimer();
}

/** An answer without a block; it says its status and nothing of what lies behind. */
export function refuse(
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
      ...(status === 503 || status === 504 ? { "retry-after": "1" } : {}),
      ...headers,
    })
    .end(text);
}

/** "close" comes after the last byte was handed to the system as well as when the connection broke. */
function untilClosed(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (response.writableFinished || signal.aborted) resolve();
    else response.once("finish", resolve).once("close", resolve);
  });
}

function etagOf(hash: BlockHash): string {
  return `"${hash}"`;
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

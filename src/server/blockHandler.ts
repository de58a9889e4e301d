/**
 * Answers one HTTP request for a block, from the store or else from what is fetched for it (docs/protocol.md).
 * It knows no sockets beyond the response it writes to, and no addresses.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { parseBlockHash, type BlockHash } from "../block/hash.js";
import type { BlockStore } from "../block/ports.js";
import { orAbort, withDeadline } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import {
  ERROR_TABLE,
  errorMessage,
  isBlockMissing,
  isPsyncError,
  PsyncError,
} from "../core/errors.js";
import type { LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { Semaphore } from "../core/semaphore.js";
import { answerWithoutBytes, refuse, sendBytes, type Asked } from "./blockResponse.js";
import type { Pulls } from "./pulls.js";
import { psyncHops } from "./via.js";

export interface BlockHandlerContext {
  readonly store: BlockStore;
  /** Fetches what the store lacks; undefined: it cannot be had. */
  readonly pulls: Pulls | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits: LimitsOf<"server">;
  /** One place for every block that is read from the store or sent. */
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
    // Why a block could not be fetched was said when it could not.
    if (!isBlockMissing(error)) {
      context.log.warn(`${request.method ?? ""} answered ${status}: ${errorMessage(error)}`);
    }
    if (response.headersSent) response.destroy();
    else refuse(response, status);
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
  if (hash === undefined) {
    refuse(response, 404);
    return;
  }
  const asked = { hash, request, response, signal };
  const found = await orAbort(context.store.find(hash), signal);
  // The length is the file's; only a GET reads and verifies the bytes.
  if (found && answerWithoutBytes(asked, found.sizeBytes)) return;
  if (found && (await sendStored(context, asked))) return;
  if (context.pulls) await sendPulled(context, context.pulls, asked);
  else refuse(response, 404);
}

/** The block a request's target names: exactly `/` and 64 lower-case hex digits, as a file server would have it. */
function hashOfTarget(target: string): BlockHash | undefined {
  // A proxy may write the whole URL (RFC 9112, section 3.2.2).
  const path = target.replace(/^https?:\/\/[^/]*/i, "");
  return /^\/[0-9a-f]{64}$/.test(path) ? parseBlockHash(path.slice(1)) : undefined;
}

/**
 * Takes a place for as long as the block is in memory: until it is sent, or the client is gone or too slow.
 *
 * @returns false, and nothing is sent, where the store has no valid copy
 */
async function sendStored(context: BlockHandlerContext, asked: Asked): Promise<boolean> {
  const { store, clock, limits } = context;
  const { hash, signal } = asked;
  const release = await takePlace(context, signal);
  const reading = store.read(hash);
  try {
    const timeoutMs = limits.requestTimeoutMs;
    const deadline = { clock, timeoutMs, signal, onDeadline: readTooLong };
    const block = await withDeadline(deadline, () => reading);
    if (block) await sendBytes(context, asked, block);
    return block !== undefined;
  } finally {
    // A read goes on after its client has gone, and its block counts until then.
    reading.then(release, release);
  }
}

/** The places above are asked for only once the block has come: servers that stall hold up no stored block. */
async function sendPulled(context: BlockHandlerContext, pulls: Pulls, asked: Asked): Promise<void> {
  const { hash, request, response, signal } = asked;
  const hops = psyncHops(request.headers.via);
  if (pulls.isCircle(hops)) {
    refuse(response, 508);
    return;
  }
  const taken = await pulls.pull({ hash, hops, signal }, async (block, ending) =>
    answerWithoutBytes(asked, block.bytes.length)
      ? undefined
      : { block, release: await takePlace(context, ending) },
  );
  if (!taken) return;
  try {
    await sendBytes(context, asked, taken.block);
  } finally {
    taken.release();
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

function hasBody({ headers }: IncomingMessage): boolean {
  return (headers["content-length"] ?? "0") !== "0" || headers["transfer-encoding"] !== undefined;
}

function busy(): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", "too many requests under way");
}

function readTooLong(): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", "the store took too long to read a block");
}

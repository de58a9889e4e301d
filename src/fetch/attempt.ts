/** One request of a fetch to one server, as it is now and what came of it. */
import type { BlockRequest } from "../block/ports.js";
import { verifyBlock, type VerifiedBlock } from "../block/verify.js";
import type { Clock } from "../core/clock.js";
import { isPsyncError } from "../core/errors.js";
import type { HttpServer } from "./httpServer.js";
import { failed, type FetchFailure } from "./outcome.js";
import type { Running } from "./raceRules.js";

/** What came of one request: the block, or why there is none. */
export type Judged =
  | { readonly type: "block"; readonly block: VerifiedBlock }
  | { readonly type: "notFound" }
  | { readonly type: "lied" }
  | FetchFailure;

export interface Attempt extends Running {
  readonly server: string;
  /** Undefined while it is under way. */
  readonly result: Judged | { readonly type: "threw"; readonly error: unknown } | undefined;
  /** Ends it; its result does not matter any more. */
  cut(): void;
}

export function startAttempt(
  server: HttpServer,
  request: BlockRequest,
  options: {
    readonly clock: Clock;
    readonly lateAtMs: number;
    /** Called at the first byte, and when there is a result. */
    readonly onChange: () => void;
  },
): Attempt {
  const { clock, lateAtMs, onChange } = options;
  const controller = new AbortController();
  const startMs = clock.nowMs();
  const state: {
    firstByteMs?: number;
    receivedBytes: number;
    lastByteAtMs: number;
    result?: Attempt["result"];
  } = { receivedBytes: 0, lastByteAtMs: startMs };

  const onReceived = (receivedBytes: number): void => {
    state.receivedBytes = receivedBytes;
    state.lastByteAtMs = clock.nowMs();
    if (state.firstByteMs !== undefined) return;
    state.firstByteMs = clock.nowMs() - startMs;
    onChange();
  };
  const onResult = (result: Attempt["result"]): void => {
    state.result = result;
    onChange();
  };
  judge(server, { ...request, signal: controller.signal }, onReceived).then(
    onResult,
    (error: unknown) => {
      onResult({ type: "threw", error });
    },
  );

  return {
    server: server.name,
    startMs,
    lateAtMs,
    get firstByteMs() {
      return state.firstByteMs;
    },
    get receivedBytes() {
      return state.receivedBytes;
    },
    get lastByteAtMs() {
      return state.lastByteAtMs;
    },
    get result() {
      return state.result;
    },
    cut() {
      controller.abort(new Error("nobody needs it any more"));
    },
  };
}

async function judge(
  server: HttpServer,
  request: BlockRequest,
  onReceived: (receivedBytes: number) => void,
): Promise<Judged> {
  const outcome = await server.fetchBytes(request, onReceived);
  if (outcome.type !== "bytes") return outcome;
  try {
    return { type: "block", block: verifyBlock(request.hash, outcome.bytes) };
  } catch (error) {
    if (!isPsyncError(error, "ERR_PSYNC_HASH_MISMATCH")) throw error;
    if (outcome.endMarked) return { type: "lied" };
    // A connection that broke looks like this too, and that is not the server's lie.
    return failed("truncated", "wrong hash, in an answer that may have been cut short");
  }
}

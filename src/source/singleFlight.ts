/**
 * One flight a block, however many readers wait for it. A reader that gives up drops only itself;
 * the flight ends when nobody waits. One begun ahead turns urgent as soon as a reader needs its block.
 * A block that could not be had for a reader is remembered for a short while.
 */
import type { BlockRequest, BlockSource } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { abortReason, orAbort } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { isBlockMissing, PsyncError } from "../core/errors.js";
import { createAhead, GivenUpAhead, WAITED_FOR, type PromotableUrgency } from "../core/urgency.js";

interface Flight {
  readonly result: Promise<VerifiedBlock>;
  readonly controller: AbortController;
  readonly urgency: PromotableUrgency;
  waiters: number;
}

interface Failure {
  readonly error: Error;
  readonly untilMs: number;
}

/** @param options.failureMemoryMs how long a block that no source had is not asked for again; 0: not at all */
export function withSingleFlight(
  source: BlockSource,
  options: { readonly clock: Clock; readonly failureMemoryMs: number },
): BlockSource {
  const { clock, failureMemoryMs } = options;
  // Also by the most bytes it may have: a list that names a wrong block size must not fail another's reads.
  const keyOf = (request: BlockRequest): string => `${request.hash}:${request.maxBytes}`;
  const flights = new Map<string, Flight>();
  /** In the order they end, since all live equally long. */
  const failures = new Map<string, Failure>();

  const rememberedFailure = (key: string): Error | undefined => {
    const nowMs = clock.nowMs();
    for (const [failed, failure] of failures) {
      if (failure.untilMs > nowMs) break;
      failures.delete(failed);
    }
    return failures.get(key)?.error;
  };

  const start = (request: BlockRequest): Flight => {
    const key = keyOf(request);
    const controller = new AbortController();
    const urgency = createAhead();
    if ((request.urgency ?? WAITED_FOR).isWaitedFor) urgency.promote();
    const result = source.fetch({ ...request, signal: controller.signal, urgency });
    const flight: Flight = { result, controller, urgency, waiters: 0 };
    flights.set(key, flight);
    const land = (): void => {
      if (flights.get(key) === flight) flights.delete(key);
    };
    result.then(land, (error: unknown) => {
      land();
      // What is fetched ahead has no patience: it must not speak for a reader, who has.
      if (failureMemoryMs === 0 || !urgency.isWaitedFor || !isBlockMissing(error)) return;
      failures.delete(key);
      failures.set(key, { error, untilMs: clock.nowMs() + failureMemoryMs });
    });
    return flight;
  };

  const fetch: BlockSource["fetch"] = async (request) => {
    if (request.signal.aborted) throw abortReason(request.signal);
    const key = keyOf(request);
    const failure = rememberedFailure(key);
    if (failure) throw failure;
    const flight = flights.get(key) ?? start(request);
    const urgency = request.urgency ?? WAITED_FOR;
    if (urgency.isWaitedFor) flight.urgency.promote();
    const stopListening = urgency.onPromoted(() => {
      flight.urgency.promote();
    });
    flight.waiters += 1;
    try {
      return await orAbort(flight.result, request.signal);
    } catch (error) {
      // It had been given up when this reader came: those who came then share the next one.
      if (error instanceof GivenUpAhead && urgency.isWaitedFor) return await fetch(request);
      throw error;
    } finally {
      stopListening();
      flight.waiters -= 1;
      if (flight.waiters === 0) {
        // A reader that comes from now on starts a flight of its own. After the landing this changes nothing.
        if (flights.get(key) === flight) flights.delete(key);
        flight.controller.abort(new PsyncError("ERR_PSYNC_INTERRUPTED", "nobody waits any more"));
      }
    }
  };

  return { fetch };
}

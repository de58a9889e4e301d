/**
 * What is fetched for clients because the store lacks it: how much at once, how long, and that work which has begun
 * is not lost with its client. It does not know where blocks come from, nor how they are sent.
 */
import { setMaxListeners } from "node:events";
import type { BlockHash } from "../block/hash.js";
import type { BlockRequest, BlockSource } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { abortReason, withDeadline } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { isPsyncError, PsyncError } from "../core/errors.js";
import { LIMITS, type LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { createSemaphore, type Semaphore } from "../core/semaphore.js";
import { withSingleFlight } from "../source/singleFlight.js";
import { createHeldPlaces, type HeldPlaces } from "./heldPlaces.js";
import { createPullLog } from "./pullLog.js";

export interface PullRequest {
  readonly hash: BlockHash;
  /** The psyncs that the request came through. */
  readonly hops: readonly string[];
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface Pulls {
  /** Whether a request came through this server before, or through too many, so that it must not be fetched for. */
  isCircle(hops: readonly string[]): boolean;
  /**
   * Fetches a block and hands it over. A flight that has begun goes on when its clients are gone or were told to come
   * back, up to `pullDeadlineMs`; one that still waits for its place ends with the last of them.
   *
   * @param takeOver gets the block while its place is held, and takes one elsewhere; it heeds the signal
   * @throws ERR_PSYNC_BLOCK_NOT_FOUND nobody has it; ERR_PSYNC_BLOCK_IN_CIRCLE nobody but perhaps those that the request
   *   came through; ERR_PSYNC_BLOCK_UNAVAILABLE it was not to be had this time, or not within `pullAnswerMs`; the
   *   signal's reason; what `takeOver` throws
   */
  pull<T>(
    request: PullRequest,
    takeOver: (block: VerifiedBlock, signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  /** Flights that no client waits for end now. */
  close(): void;
}

export interface PullsContext {
  /** Gives what is in the store, and otherwise fetches it. */
  readonly source: BlockSource;
  /** What this server calls itself to others. */
  readonly pseudonym: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: LimitsOf<"server">;
}

export function createPulls(context: PullsContext): Pulls {
  const { pseudonym, clock, limits } = context;
  const places = createSemaphore(limits.maxPulls);
  const explain = createPullLog(context);
  const closing = new AbortController();
  // Every flight listens; they are bounded by their places.
  setMaxListeners(0, closing.signal);
  const shared = { ...context, places, explain, closing: closing.signal };
  const flightsOf = new Map<number, Flights>();

  return {
    isCircle: (hops) => hops.includes(pseudonym) || hops.length >= limits.maxHops,
    pull({ hash, hops, signal }, takeOver) {
      const flights = flightsOf.get(hops.length) ?? createFlights(shared);
      flightsOf.set(hops.length, flights);
      const timeoutMs = limits.pullAnswerMs;
      const onDeadline = (): PsyncError => notInTime(hash, timeoutMs);
      return withDeadline({ clock, timeoutMs, signal, onDeadline }, (ending) =>
        flights.held.of(hash).use(async () => {
          const via = [...hops, pseudonym];
          // A server does not know how long the block is.
          const { maxSizeBytes: maxBytes, defaultSizeBytes: expectedBytes } = LIMITS.block;
          const request = { hash, maxBytes, expectedBytes, signal: ending, via };
          const block = await flights.fetch(request);
          // Landed in the moment of the end: the client has its answer.
          ending.throwIfAborted();
          return takeOver(block, ending);
        }),
      );
    },
    close() {
      closing.abort(new Error("the server is closed"));
    },
  };
}

interface Flights extends BlockSource {
  readonly held: HeldPlaces<BlockHash>;
}

interface FlightsContext extends PullsContext {
  readonly places: Semaphore;
  readonly explain: (hash: BlockHash, error: unknown) => void;
  readonly closing: AbortSignal;
}

/**
 * The flights for requests that came through equally many psyncs. They wait for others only at servers where those have
 * one hop more: if all requests of a server shared one flight, two servers that ask each other for a block
 * at the same moment would wait for each other.
 */
function createFlights(context: FlightsContext): Flights {
  const { source, clock, limits, places, explain, closing } = context;
  const held = createHeldPlaces<BlockHash>();
  /** By the error of a flight that met a circle: the psyncs that its requests came through. */
  const circleVia = new WeakMap<Error, readonly string[]>();

  const fly = async (request: BlockRequest): Promise<VerifiedBlock> => {
    const { hash, signal } = request;
    // Of the client that begins the flight, in the same turn.
    const hold = held.of(hash);
    const release = await places.acquire(1, request);
    // Granted in the moment of the end: nobody else would give the place back.
    if (signal.aborted) {
      release();
      throw abortReason(signal);
    }
    // One more that waits, and does not go away: from now on the flight ends by itself.
    const stayed = hold.use(() => {
      hold.add(release);
      return flights.fetch({ ...request, signal: closing });
    });
    stayed.catch((error: unknown) => {
      if (!closing.aborted) explain(hash, error);
    });
    const timeoutMs = limits.pullDeadlineMs;
    const onDeadline = (): PsyncError => notInTime(hash, timeoutMs);
    try {
      return await withDeadline({ clock, timeoutMs, signal, onDeadline }, (ending) =>
        source.fetch({ ...request, signal: ending }),
      );
    } catch (error) {
      if (isPsyncError(error, "ERR_PSYNC_BLOCK_IN_CIRCLE")) {
        circleVia.set(error, request.via ?? []);
      }
      throw error;
    } finally {
      hold.seal();
    }
  };

  const failureMemoryMs = limits.failedPullMemoryMs;
  const flights = withSingleFlight({ fetch: fly }, { clock, failureMemoryMs });
  return {
    held,
    async fetch(request) {
      try {
        return await flights.fetch(request);
      } catch (error) {
        if (!isPsyncError(error, "ERR_PSYNC_BLOCK_IN_CIRCLE")) throw error;
        throw circleFor(request, error, circleVia.get(error) ?? []);
      }
    },
  };
}

/**
 * What a circle means for one of those who shared the flight that met it. For requests that came the same way it is
 * one too; others did not come through whoever refused it, and can have the block another time. Where no psync
 * asks, all who could be asked were asked, and none has it.
 */
function circleFor(
  { via = [] }: BlockRequest,
  circle: PsyncError,
  circleVia: readonly string[],
): PsyncError {
  const { message, details } = circle;
  if (via.join() !== circleVia.join()) {
    return new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", message, { details });
  }
  const isOwn = via.length === 1;
  return isOwn ? new PsyncError("ERR_PSYNC_BLOCK_NOT_FOUND", message, { details }) : circle;
}

function notInTime(hash: BlockHash, timeoutMs: number): PsyncError {
  const problem = `block ${hash} has not come in ${timeoutMs / 1000} s`;
  return new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", problem);
}

/**
 * A block from the store, or else fetched: given to its readers as soon as it is verified,
 * and written to the store behind them. A store that fails is a store that lacks the block.
 * What a reader waits for goes before what is asked for ahead, and finds some room kept for it.
 */
import type { BlockRequest, BlockSource, BlockStore } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import type { Clock } from "../core/clock.js";
import type { Logger } from "../core/log.js";
import { createSemaphore } from "../core/semaphore.js";
import { createTrouble } from "../core/trouble.js";
import { createFlightRoom } from "./flightRoom.js";

export interface StoreThenFetchOptions {
  readonly store: BlockStore;
  readonly fetcher: BlockSource;
  readonly clock: Clock;
  readonly log: Logger;
  readonly blocksInFlight: number;
  /** Bounds the bytes of blocks that are being fetched, or fetched and not yet written. */
  readonly inFlightBytes: number;
  /** Bounds the bytes of blocks that are being read from the store. */
  readonly storeReadBytes: number;
  /** What read-ahead leaves free of each of these; nothing unless said otherwise. */
  readonly keptForWaiting?: {
    readonly blocksInFlight: number;
    readonly inFlightBytes: number;
    readonly storeReadBytes: number;
  };
}

const NOTHING_KEPT = { blocksInFlight: 0, inFlightBytes: 0, storeReadBytes: 0 };

export interface StoreThenFetch extends BlockSource {
  /** Waits until everything fetched was written, or has failed to be. */
  settled(): Promise<void>;
}

export function createStoreThenFetch(options: StoreThenFetchOptions): StoreThenFetch {
  const { store, fetcher, clock, log, keptForWaiting: kept = NOTHING_KEPT } = options;
  const room = createFlightRoom({
    places: options.blocksInFlight,
    bytes: options.inFlightBytes,
    keptForWaiting: { places: kept.blocksInFlight, bytes: kept.inFlightBytes },
  });
  const storeReads = createSemaphore(options.storeReadBytes, kept.storeReadBytes);
  const writes = new Set<Promise<void>>();
  const unread = createTrouble({
    clock,
    log,
    failing: "the store could not be read, servers are asked instead",
    over: "the store can be read again",
    counted: ["read failed", "reads failed"],
  });
  const uncached = createTrouble({
    clock,
    log,
    failing: "nothing is cached, reads go on",
    over: "blocks are cached again",
    counted: ["block was not cached", "blocks were not cached"],
  });

  const fromStore = async (request: BlockRequest): Promise<VerifiedBlock | undefined> => {
    try {
      const block = await store.read(request.hash);
      unread.worked();
      return block;
    } catch (error) {
      unread.failed(error);
      return undefined;
    }
  };

  const writeBehind = (block: VerifiedBlock, done: () => void): void => {
    const write = store
      .cache(block)
      .then(uncached.worked, uncached.failed)
      .finally(() => {
        writes.delete(write);
        done();
      });
    writes.add(write);
  };

  return {
    async fetch(request) {
      const { maxBytes } = request;
      // Apart from what is fetched: servers that stall must not hold up blocks that are here.
      const stored = await storeReads.run(maxBytes, request, () => fromStore(request));
      if (stored) return stored;
      const seat = await room.enter(maxBytes, request);
      let block: VerifiedBlock;
      try {
        block = await fetcher.fetch(request);
      } catch (error) {
        seat.releaseBytes();
        throw error;
      } finally {
        seat.releasePlace();
      }
      writeBehind(block, seat.releaseBytes);
      return block;
    },
    async settled() {
      await Promise.all(writes);
    },
  };
}

/**
 * A block from the store, or else fetched: given to its readers as soon as it is verified,
 * and written to the store behind them. A store that fails is a store that lacks the block.
 */
import type { BlockRequest, BlockSource, BlockStore } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { errorMessage } from "../core/errors.js";
import type { Logger } from "../core/log.js";
import { createSemaphore } from "../core/semaphore.js";

export interface StoreThenFetchOptions {
  readonly store: BlockStore;
  readonly fetcher: BlockSource;
  readonly log: Logger;
  readonly blocksInFlight: number;
  /** Bounds the bytes of blocks that are being fetched, or fetched and not yet written. */
  readonly inFlightBytes: number;
  /** Bounds the bytes of blocks that are being read from the store. */
  readonly storeReadBytes: number;
}

export interface StoreThenFetch extends BlockSource {
  /** Waits until everything fetched was written, or has failed to be. */
  settled(): Promise<void>;
}

export function createStoreThenFetch(options: StoreThenFetchOptions): StoreThenFetch {
  const { store, fetcher, log } = options;
  const places = createSemaphore(options.blocksInFlight);
  const budget = createSemaphore(options.inFlightBytes);
  const storeReads = createSemaphore(options.storeReadBytes);
  const writes = new Set<Promise<void>>();

  const fromStore = async (request: BlockRequest): Promise<VerifiedBlock | undefined> => {
    try {
      return await store.read(request.hash);
    } catch (error) {
      log.warn(`the store could not be read, asking servers instead: ${errorMessage(error)}`);
      return undefined;
    }
  };

  const writeBehind = (block: VerifiedBlock, done: () => void): void => {
    const write = store
      .cache(block)
      .catch((error: unknown) => {
        log.warn(`block ${block.hash} is not cached: ${errorMessage(error)}`);
      })
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
      const releaseBytes = await budget.acquire(maxBytes, request);
      let block: VerifiedBlock;
      try {
        block = await places.run(1, request, () => fetcher.fetch(request));
      } catch (error) {
        releaseBytes();
        throw error;
      }
      writeBehind(block, releaseBytes);
      return block;
    },
    async settled() {
      await Promise.all(writes);
    },
  };
}

/**
 * A store that could not be opened for writing, for one that would like to cache: it is only read, until it can
 * be opened for writing after all, since a disk that was full has room again at some time.
 */
import type { Clock } from "../core/clock.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { createTrouble } from "../core/trouble.js";
import { createOpenCalls } from "./openCalls.js";
import type { Store } from "./openStore.js";
import { withWishes } from "./seedWishes.js";

export interface ReopeningOptions {
  readonly reader: Store;
  /** Why it is only read. */
  readonly cause: unknown;
  /** Opens it for writing. @throws why it still cannot be */
  readonly reopen: () => Promise<Store>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Gives the store that is only read, and puts the other one in its place at the first block that is to be cached, or
 * is not there, after it can be opened. Trying costs nothing while neither happens, and a few calls each
 * `LIMITS.store.reopenMs`.
 */
export function createReopeningStore(options: ReopeningOptions): Store {
  const { reader, reopen, clock, log } = options;
  const { path } = reader;
  const trouble = createTrouble({
    clock,
    log,
    failing: `nothing is cached in ${path}`,
    over: `blocks are cached in ${path} again`,
    counted: ["block was not cached", "blocks were not cached"],
  });
  const calls = createOpenCalls(path);
  const wishes = withWishes(reader.seeds);
  let current = reader;
  let cause = options.cause;
  let retryAtMs = clock.nowMs() + LIMITS.store.reopenMs;
  let reopening: Promise<void> | undefined;
  trouble.failed(cause, 0);

  const tryToReopen = async (): Promise<void> => {
    try {
      current = await reopen();
      // Not waited for: a seed's file system may hang.
      void wishes.later(current.seeds);
      trouble.worked();
    } catch (error) {
      cause = error;
    } finally {
      retryAtMs = clock.nowMs() + LIMITS.store.reopenMs;
      reopening = undefined;
    }
  };

  const reopenIfDue = async (): Promise<void> => {
    if (current === reader && clock.nowMs() >= retryAtMs) await (reopening ??= tryToReopen());
  };

  const closeBoth = async (): Promise<void> => {
    // Only then is it certain that nothing is being opened.
    await calls.end();
    await reader.close();
    await current.close();
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= closeBoth());

  return {
    path,
    blocks: {
      find: (hash) => current.blocks.find(hash),
      read: async (hash) => {
        const block = await current.blocks.read(hash);
        // It may lie in a seed, and need not be had from elsewhere and cached then. Nobody waits for that.
        if (!block) calls.run(reopenIfDue).catch(() => undefined);
        return block;
      },
      keep: (blocks) => current.blocks.keep(blocks),
      pin: (hash) => current.blocks.pin(hash),
      sync: (hashes) => current.blocks.sync(hashes),
      claim: (hashes) => current.blocks.claim(hashes),
      cache: (block) =>
        calls.run(async () => {
          await reopenIfDue();
          // As a cache without room: whoever fetched the block goes on with it.
          if (current === reader) trouble.failed(cause);
          else await current.blocks.cache(block);
        }),
      close,
    },
    sizes: {
      get: (digest) => current.sizes.get(digest) ?? reader.sizes.get(digest),
      set: (digest, sizeBytes) => {
        current.sizes.set(digest, sizeBytes);
      },
    },
    servers: {
      load: () => current.servers.load(),
      save: (records) => {
        current.servers.save(records);
      },
      forget: (addresses) => current.servers.forget(addresses),
    },
    get upkeep() {
      return current.upkeep;
    },
    get seeds() {
      return current === reader ? wishes : current.seeds;
    },
    restore: (block) => current.restore(block),
    list: (place) => current.list(place),
    claimed: () => current.claimed(),
    startSweep: () => current.startSweep(),
    close,
  };
}

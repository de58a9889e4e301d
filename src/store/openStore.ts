/**
 * A store on disk, joined from its pieces. It owns their lifetime: what was started is ended by `close`.
 * Every method is safe beside every other one, in this process and in others.
 */
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { readFile } from "node:fs/promises";
import type { FreeSpace } from "../core/bytes.js";
import type { Clock } from "../core/clock.js";
import { errorMessage } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockHash } from "../block/hash.js";
import type { BlockPlace, BlockStore, ServerMemory, SizeMemory, Sweep } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import type { HashSet } from "../block/hashSet.js";
import { createBlockCacher } from "./cacheBlocks.js";
import { createClaims, readClaims } from "./claims.js";
import { createBlockFinder } from "./findBlocks.js";
import { createBlockKeeper } from "./keepBlocks.js";
import { placeFolder, storeLayout, type StoreLayout } from "./layout.js";
import { listHashes } from "./listBlocks.js";
import { createOpenCalls } from "./openCalls.js";
import { openReadOnlyStore } from "./readOnlyStore.js";
import { createQuiet } from "./quiet.js";
import { scanCache } from "./scanCache.js";
import { orStoreError } from "./storeError.js";
import { prepareFolders } from "./storeFolders.js";
import { StoreIndex } from "./storeIndex.js";
import { SeedSet, type StoreSeeds } from "./storeSeeds.js";
import { startSweep } from "./sweep.js";
import { openTempFiles } from "./tempFiles.js";
import { createUpkeep, type Upkeep } from "./upkeep.js";

export interface StoreOptions {
  /** Made where it does not exist, mode 0700. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** What cache/ may take of the disk; LIMITS.store.cacheQuotaBytes unless said otherwise. 0: nothing is cached. */
  readonly cacheQuotaBytes?: number | undefined;
  /** What the cache leaves free of the disk; LIMITS.store.minFreeFraction unless said otherwise. */
  readonly minFree?: FreeSpace | undefined;
  /** Nothing is made, moved or removed, and no index is opened; nothing is cached, and what keeps throws. */
  readonly readOnly?: boolean | undefined;
  /** Bad blocks are left where they lie, and count as not there, although the store is open for writing. */
  readonly leavesBad?: boolean | undefined;
}

/** The records of servers in a store's index. */
export interface StoredServers extends ServerMemory {
  /**
   * Removes what is remembered of servers, at once. A process that asks them has its own memory, and writes it again.
   *
   * @returns those of which something was remembered; undefined: the index did not answer, and the log says why
   * @throws ERR_PSYNC_STORE the store is open for reading only
   */
  forget(addresses: readonly string[]): Promise<readonly string[] | undefined>;
}

export interface Store {
  readonly path: string;
  readonly blocks: BlockStore;
  readonly sizes: SizeMemory;
  readonly servers: StoredServers;
  readonly upkeep: Upkeep;
  readonly seeds: StoreSeeds;
  /**
   * Keeps a block that was kept before, durable when it returns. Nobody promises it anew, so it is not claimed: where
   * no list names it any more, a sweep takes it.
   *
   * @throws ERR_PSYNC_STORE
   */
  restore(block: VerifiedBlock): Promise<void>;
  /** The names in a place, in no order; nothing is said of the bytes. */
  list(place: BlockPlace): AsyncIterable<BlockHash>;
  /** What running processes claim now; a sweep looks again. */
  claimed(): HashSet;
  /**
   * Begins to take kept blocks away; it must be closed before the store is.
   *
   * @throws ERR_PSYNC_STORE another sweep runs, or the store is open for reading only
   */
  startSweep(): Promise<Sweep>;
  /** Waits for what runs, writes what waits, and closes the index. The same as `blocks.close`. */
  close(): Promise<void>;
}

/**
 * Opens a store, and makes what is missing of it.
 *
 * @throws ERR_PSYNC_STORE the path is no folder, holds something else, or cannot be written
 * Cost: a few milliseconds, whatever the store holds; an index that was lost is made anew behind it.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { path, clock, log, readOnly = false, leavesBad = false } = options;
  const cacheQuotaBytes = options.cacheQuotaBytes ?? LIMITS.store.cacheQuotaBytes;
  const layout = storeLayout(path);
  if (readOnly) return openReadOnlyStore({ layout, clock, log });

  await prepareFolders(layout);
  const temp = await orStoreError("write in", layout.tmp, () => openTempFiles(layout.tmp, log));
  const finder = createBlockFinder({ layout, clock, log, leavesBad });
  const calls = createOpenCalls(path);
  const closing = new AbortController();
  // Every block that waits to be cached listens; whoever fetches them bounds their number.
  setMaxListeners(0, closing.signal);
  let scans: Promise<void> = Promise.resolve();
  const index = await StoreIndex.open({
    layout,
    clock,
    log,
    bootId: await readBootId(),
    onIncomplete: (incomplete) => {
      scans = scans.then(() => scanBehind(incomplete, layout, log, closing.signal));
    },
  });
  const claims = createClaims({ layout, clock, log });
  const keeper = createBlockKeeper({
    layout,
    temp,
    finder,
    log,
    claim: claims.add,
    onUncached: (hashes) => {
      index.noteGone(hashes);
    },
  });
  const cacher = createBlockCacher({
    layout,
    temp,
    finder,
    index,
    log,
    quotaBytes: cacheQuotaBytes,
    minFree: options.minFree ?? { fraction: LIMITS.store.minFreeFraction },
    signal: closing.signal,
  });

  const upkeep = createUpkeep({
    layout,
    finder,
    isReadOnly: false,
    leftTempFiles: temp.clearedCount,
    rebuildIndex: (signal) =>
      calls.run(async () => {
        const corrected = await index.correctRows(signal);
        if (corrected) await scanCache({ layout, index, signal });
        return corrected;
      }),
    changeNote: (name, change) => calls.run(() => index.changeNote(name, change)),
  });
  const quiet = createQuiet(clock);
  const seeds = new SeedSet({ layout, index, clock, log, quiet });

  const read = async (hash: BlockHash): Promise<VerifiedBlock | undefined> => {
    const found = await finder.read(hash);
    if (!found) return seeds.blocks.read(hash);
    if (found.place === "cached") index.noteUse(hash);
    return found.block;
  };

  const pin = async (hash: BlockHash): Promise<boolean> => {
    if (await keeper.pin(hash)) return true;
    const block = await seeds.blocks.read(hash);
    if (block) await keeper.keep([block]);
    return block !== undefined;
  };

  const shutDown = async (): Promise<void> => {
    seeds.stop();
    await calls.end();
    claims.close();
    closing.abort(new Error(`the store ${path} is closed`));
    await scans;
    await seeds.ended();
    await index.close();
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= shutDown());

  return {
    path,
    blocks: {
      find: (hash) =>
        calls.run(async () => (await finder.find(hash)) ?? (await seeds.blocks.find(hash))),
      read: (hash) => calls.run(() => quiet.during(() => read(hash))),
      keep: (blocks) => calls.run(() => keeper.keep(blocks)),
      pin: (hash) => calls.run(() => pin(hash)),
      sync: (hashes) => calls.run(() => keeper.sync(hashes)),
      claim: (hashes) => calls.run(() => claims.add(hashes)),
      cache: (block) => calls.run(() => cacher.cache(block)),
      close,
    },
    sizes: index,
    servers: {
      load: () => index.loadServers(),
      save: (records) => {
        index.noteServers(records);
      },
      forget: (addresses) => calls.run(() => index.forgetServers(addresses)),
    },
    restore: (block) => calls.run(() => keeper.restore(block)),
    upkeep,
    seeds,
    list: (place) => listHashes(placeFolder(layout, place)),
    claimed: () => readClaims(layout),
    startSweep: () => calls.run(() => startSweep({ layout, cacher, index, clock, log })),
    close,
  };
}

async function scanBehind(
  index: StoreIndex,
  layout: StoreLayout,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  try {
    await scanCache({ layout, index, signal });
  } catch (error) {
    // The next start tries again; until then what is unknown is not evicted, unless it is used.
    if (!signal.aborted) log.warn(`cannot scan ${layout.cache}: ${errorMessage(error)}`);
  }
}

/** Identifies this boot (random(4)); where it cannot be read, every start scans once. */
async function readBootId(): Promise<string> {
  try {
    return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  } catch {
    return randomUUID();
  }
}

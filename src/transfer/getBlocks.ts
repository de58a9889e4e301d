/** The blocks of lists → kept in the store, fetched where they lack, from several servers at once. */
import { setMaxListeners } from "node:events";
import type { BlockHash } from "../block/hash.js";
import type { BlockSource, BlockStore } from "../block/ports.js";
import { formatCount } from "../core/bytes.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, isBlockMissing, isPsyncError, PsyncError } from "../core/errors.js";
import { inParallel } from "../core/inParallel.js";
import { LIMITS } from "../core/limits.js";
import { createSemaphore } from "../core/semaphore.js";
import {
  distinctBlocks,
  fitsLength,
  listedLengthBytes,
  type Hashlist,
} from "../hashlist/hashlist.js";
import { createKeepQueue } from "./keepQueue.js";
import { createSyncBatches } from "./syncBatches.js";

export interface NamedList {
  readonly name: string;
  readonly list: Hashlist;
}

export interface GetOptions {
  readonly store: BlockStore;
  readonly source: BlockSource;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Fetches also what is there. */
  readonly force: boolean;
  readonly onProgress?: (totals: GetTotals) => void;
  /** Called with each block right before the source is asked for it. */
  readonly onFetch?: ((block: ListedBlock) => void) | undefined;
}

export interface GetTotals {
  /** Distinct blocks of each list, added up. */
  blockCount: number;
  /** Blocks that were there, those of seeds left out. */
  presentCount: number;
  /** Blocks that were copied from files of the user's. */
  seedCount: number;
  fetchedCount: number;
  fetchedBytes: number;
  failures: BlockFailure[];
  /** Blocks that were not asked for any more, because nothing had come for long. */
  notTriedCount: number;
}

/** A block and where it stands. */
export interface ListedBlock {
  readonly listName: string;
  readonly blockIndex: number;
  readonly hash: BlockHash;
}

export interface BlockFailure extends ListedBlock {
  readonly error: Error;
}

interface Wanted {
  readonly listName: string;
  readonly list: Hashlist;
  readonly blockIndex: number;
}

/** When this many blocks in a row failed after a wait, nobody is there, and the rest is not tried. */
const GIVE_UP_FAILURES = 32;
const SLOW_FAILURE_MS = 1_000;

/**
 * Keeps every block of the lists. Blocks that are there by name and length are skipped; a block that no
 * server has does not stop the others.
 *
 * @returns the totals, with the failures; the caller decides what they mean
 * @throws ERR_PSYNC_STORE a block could not be made durable; the signal's reason
 * Source: docs/semantics.md, KEEP-2.
 */
export async function getBlocks(
  lists: readonly NamedList[],
  options: GetOptions,
): Promise<GetTotals> {
  const { store, source, clock, signal, force } = options;
  const totals: GetTotals = {
    blockCount: countOf(wantedBlocks(lists)),
    presentCount: 0,
    seedCount: 0,
    fetchedCount: 0,
    fetchedBytes: 0,
    failures: [],
    notTriedCount: 0,
  };
  const keeper = createKeepQueue(store, LIMITS.store.keepBatchCount);
  const kept = createSyncBatches(store, LIMITS.store.syncBatchCount);
  const budget = createSemaphore(LIMITS.memory.inFlightBytes);
  /** Failures in a row for which somebody was waited: a 404 costs nothing and says nothing of the others. */
  let slowFailuresInRow = 0;

  /** Keeps a block that is here. @returns where it was found, undefined where it has to be fetched */
  const keepPresent = async (
    wanted: Wanted,
    stop: AbortSignal,
  ): Promise<"store" | "seed" | undefined> => {
    const hash = wanted.list.hashAt(wanted.blockIndex);
    const found = await store.find(hash);
    const { list, blockIndex } = wanted;
    if (!found || !fitsLength(list, blockIndex, found.sizeBytes)) return undefined;
    if (found.place === "cached") return (await store.pin(hash)) ? "store" : undefined;
    if (found.place === "seed") {
      return budget.run(list.blockSizeBytes, { signal: stop }, async () => {
        const block = await store.read(hash);
        if (block) await keeper.keep(block);
        return block && "seed";
      });
    }
    // The last block of a plain list may have any length: only its bytes tell whether it was cut short.
    const isCertain = listedLengthBytes(list, blockIndex) !== undefined;
    if (!isCertain && (await store.read(hash)) === undefined) return undefined;
    await kept.sync(hash);
    return "store";
  };

  const getOne = async (wanted: Wanted, stop: AbortSignal): Promise<void> => {
    const present = force ? undefined : await keepPresent(wanted, stop);
    if (present) {
      if (present === "seed") totals.seedCount += 1;
      else totals.presentCount += 1;
      return;
    }
    if (slowFailuresInRow >= GIVE_UP_FAILURES) {
      totals.notTriedCount += 1;
      return;
    }
    const { list, listName, blockIndex } = wanted;
    const hash = list.hashAt(blockIndex);
    const maxBytes = list.blockSizeBytes;
    await budget.run(maxBytes, { signal: stop }, async () => {
      let startMs = clock.nowMs();
      const onTurn = (): void => {
        startMs = clock.nowMs();
      };
      options.onFetch?.({ listName, blockIndex, hash });
      try {
        const block = await source.fetch({ hash, maxBytes, signal: stop, onTurn });
        slowFailuresInRow = 0;
        await keeper.keep(block);
        totals.fetchedCount += 1;
        totals.fetchedBytes += block.bytes.length;
      } catch (error) {
        if (!isBlockMissing(error)) throw error;
        if (clock.nowMs() - startMs >= SLOW_FAILURE_MS) slowFailuresInRow += 1;
        totals.failures.push({ listName, blockIndex, hash, error });
      }
    });
  };

  const stopAll = new AbortController();
  const stop = AbortSignal.any([signal, stopAll.signal]);
  // Every block under way waits on it.
  setMaxListeners(0, stop);
  // Before any is looked at: what is found there must not go before it is said to be kept.
  await store.claim(hashesOf(lists));
  await inParallel(wantedBlocks(lists), LIMITS.read.blocksInFlight, async (wanted) => {
    try {
      stop.throwIfAborted();
      await getOne(wanted, stop);
    } catch (error) {
      // What else is under way would be thrown away.
      stopAll.abort(error);
      throw error;
    }
    options.onProgress?.(totals);
  });
  await kept.end();
  return totals;
}

/** Each distinct block of each list. One that several lists have is there when its second turn comes. */
function* wantedBlocks(lists: readonly NamedList[]): Generator<Wanted> {
  for (const { name: listName, list } of lists) {
    for (const blockIndex of distinctBlocks(list)) yield { listName, list, blockIndex };
  }
}

function* hashesOf(lists: readonly NamedList[]): Generator<BlockHash> {
  for (const { list, blockIndex } of wantedBlocks(lists)) yield list.hashAt(blockIndex);
}

function countOf(items: Iterable<unknown>): number {
  const iterator = items[Symbol.iterator]();
  let count = 0;
  while (iterator.next().done !== true) count += 1;
  return count;
}

const SHOWN_FAILURES = 20;

/**
 * The error of a `get` that lacks blocks: which block failed where.
 *
 * @param isServed whether there was a server to ask: without one the same would be said of each block
 */
export function unavailableBlocks(
  totals: GetTotals,
  { isServed }: { readonly isServed: boolean },
): PsyncError {
  const { failures, blockCount, notTriedCount } = totals;
  const lackingCount = failures.length + notTriedCount;
  const details: string[] = [];
  for (const { listName, blockIndex, hash, error } of failures.slice(0, SHOWN_FAILURES)) {
    details.push(`${listName}, block ${blockIndex + 1}: ${hash}`);
    const servers = isPsyncError(error) ? error.details : [];
    if (!isServed) continue;
    for (const line of servers.length > 0 ? servers : [errorMessage(error)])
      details.push(`    ${line}`);
  }
  const unshown = failures.length - SHOWN_FAILURES;
  if (unshown > 0) details.push(`and ${formatCount(unshown, "more block")}`);
  if (notTriedCount > 0) {
    const were = notTriedCount === 1 ? "was" : "were";
    details.push(`${formatCount(notTriedCount, "block")} ${were} not tried any more`);
  }
  return new PsyncError(
    "ERR_PSYNC_BLOCK_UNAVAILABLE",
    `${lackingCount} of ${formatCount(blockCount, "block")} could not be had${isServed ? "" : ": no server is named"}`,
    {
      details,
      hint: isServed
        ? "what came is kept; run the same command again to get the rest"
        : "what was here is kept; name a server that has the rest with --server URL",
    },
  );
}

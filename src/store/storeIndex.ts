/**
 * The index as the store uses it: what is cached, in which order it was used, learned list sizes, and records
 * of servers. No method throws: an index that fails costs order and space, never a read.
 *
 * Uses, sizes and records are collected and written together, not a row a read.
 */
import type { Clock } from "../core/clock.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockHash } from "../block/hash.js";
import type { SizeMemory } from "../block/ports.js";
import { cachedBytes, isCached } from "./cachedFile.js";
import { correctRows, type CorrectedRows } from "./correctRows.js";
import {
  allowedBytes,
  planRoom,
  type CachedBlock,
  type DiskState,
  type RoomPlan,
} from "./evictionPolicy.js";
import { IndexConnection } from "./indexConnection.js";
import type { IndexFile } from "./indexFile.js";
import type { StoreLayout } from "./layout.js";
import type { SeedRows } from "./seedRows.js";
import { readServers, ServerNotes, type ServerRecords } from "./serverNotes.js";
import { forgetScanIfStale } from "./staleMark.js";

export interface FoundFile {
  readonly hash: BlockHash;
  /** What the file takes of the disk. */
  readonly sizeBytes: number;
}

/** What has to happen before a block may be written to cache/. */
export type Reservation =
  | { readonly kind: "reserved" }
  /** These go first: remove their files, `forget` them, and ask again. */
  | { readonly kind: "evict"; readonly blocks: readonly CachedBlock[] }
  | { readonly kind: "no room" }
  /** The index does not answer: nothing is known of what is cached. Who caches all the same says so first, with `markStale`. */
  | { readonly kind: "unknown" };

export interface StoreIndexOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Logger;
  /** Identifies the boot of the machine: after another one the last transactions may be missing. */
  readonly bootId: string;
  /** Called whenever an index was opened that does not know what cache/ holds. */
  readonly onIncomplete: (index: StoreIndex) => void;
}

export class StoreIndex implements SizeMemory {
  readonly #options: StoreIndexOptions;
  readonly #connection: IndexConnection;
  readonly #uses = new Set<BlockHash>();
  readonly #gone = new Set<BlockHash>();
  readonly #sizes = new Map<string, number>();
  readonly #servers = new ServerNotes();
  #isClosed = false;
  #cancelFlush: (() => void) | undefined;
  #flushing: Promise<void> = Promise.resolve();

  private constructor(options: StoreIndexOptions) {
    const { layout, clock, log, bootId, onIncomplete } = options;
    this.#options = options;
    this.#connection = new IndexConnection({
      layout,
      clock,
      log,
      onOpened: (file) => {
        forgetScanIfStale(file, { layout, log });
        if (file.scannedBoot() !== bootId) onIncomplete(this);
      },
    });
  }

  /** Opens the index, or makes it. Waits for another process at most LIMITS.store.indexBusyMs. */
  static async open(options: StoreIndexOptions): Promise<StoreIndex> {
    const index = new StoreIndex(options);
    await index.#connection.run("open", () => undefined);
    return index;
  }

  get(digest: string): number | undefined {
    return (
      this.#sizes.get(digest) ?? this.#connection.runNow("read", (file) => file.listSize(digest))
    );
  }

  set(digest: string, sizeBytes: number): void {
    this.#sizes.set(digest, sizeBytes);
    dropOldest(this.#sizes);
    this.#scheduleFlush();
  }

  loadServers(): ServerRecords {
    const stored = this.#connection.runNow("read", readServers);
    return this.#servers.joinedWith(stored ?? new Map());
  }

  noteServers(records: ServerRecords): void {
    this.#servers.note(records);
    this.#scheduleFlush();
  }

  /** @returns those of which there was a row; undefined: the index does not answer */
  async forgetServers(addresses: readonly string[]): Promise<readonly string[] | undefined> {
    this.#servers.drop(addresses);
    return this.#connection.run("forget servers in", (file) =>
      file.exclusively(() => addresses.filter((address) => file.removeServer(address))),
    );
  }

  /** Notes that a cached block was used. Cost: none now; a row in the next flush. */
  noteUse(hash: BlockHash): void {
    // Again at the end: the order of the set is the order of use.
    this.#uses.delete(hash);
    this.#uses.add(hash);
    this.#gone.delete(hash);
    dropOldest(this.#uses);
    this.#scheduleFlush();
  }

  /** Notes that blocks have left cache/. */
  noteGone(hashes: readonly BlockHash[]): void {
    for (const hash of hashes) {
      this.#uses.delete(hash);
      this.#gone.add(hash);
      dropOldest(this.#gone);
    }
    this.#scheduleFlush();
  }

  /**
   * Counts a block as cached before its file is written, so that the sum is never less than what lies there,
   * whichever process adds it up and whenever one of them dies.
   *
   * @param spared blocks that are being written, and are not chosen to go
   * Cost: one write transaction, under 1 ms without contention, on this thread.
   */
  async reserve(
    block: FoundFile,
    disk: DiskState,
    spared: ReadonlySet<BlockHash>,
  ): Promise<Reservation> {
    const written = await this.#writeWith("reserve room in", (file): Reservation => {
      if (file.touch(block.hash)) return { kind: "reserved" };
      const plan = planRoomIn(file, block.sizeBytes, disk, spared);
      if (plan.evict.length > 0) return { kind: "evict", blocks: plan.evict };
      if (!plan.fits) return { kind: "no room" };
      file.add(block.hash, block.sizeBytes);
      return { kind: "reserved" };
    });
    return written ?? { kind: "unknown" };
  }

  /**
   * Which blocks would have to go, where nothing can be written: on a disk that is full to the last byte, removing
   * some is what lets the index be written again.
   */
  async chooseVictims(
    incomingBytes: number,
    disk: DiskState,
    spared: ReadonlySet<BlockHash>,
  ): Promise<readonly CachedBlock[]> {
    const plan = await this.#connection.run("read", (file) =>
      planRoomIn(file, incomingBytes, disk, spared),
    );
    return plan?.evict ?? [];
  }

  /** Takes removed blocks out of the sum, except those that were used or cached again since. */
  async forget(blocks: readonly CachedBlock[]): Promise<void> {
    const removed = await this.#connection.run("forget blocks in", (file) =>
      file.exclusively(() => {
        const gone = blocks.filter(({ hash }) => !isCached(this.#options.layout, hash));
        for (const block of gone) file.removeUnused(block);
        return gone.map(({ hash }) => hash);
      }),
    );
    if (removed) await this.#addUncounted(removed);
  }

  /**
   * Whether a block has its row: who has just put it into cache/ asks, since somebody who had removed the file before
   * may have taken the row away meanwhile. The one who takes rows away looks for the file once more after that, so that
   * one of the two sees it.
   *
   * Cost: one indexed read, about 20 µs. An index that does not answer says yes: a scan follows.
   */
  isCounted(hash: BlockHash): boolean {
    return this.#connection.runNow("read", (file) => file.has(hash)) ?? true;
  }

  /**
   * Adds blocks that a scan found; those the index knows stay as they are.
   *
   * @param firstRank integer ≥ 1, rank of the first; each next one counts as older
   */
  async addFound(files: readonly FoundFile[], firstRank: number): Promise<void> {
    await this.#connection.run("add found blocks to", (file) => {
      file.exclusively(() => {
        files.forEach(({ hash, sizeBytes }, i) => {
          file.addFound(hash, sizeBytes, firstRank + i);
        });
      });
    });
  }

  /** Makes the rows of cached blocks what the files are; see `correctRows`. */
  async correctRows(signal: AbortSignal): Promise<CorrectedRows | undefined> {
    await this.flush();
    return correctRows(this.#connection, { layout: this.#options.layout, signal });
  }

  /**
   * Replaces a note by what is made of it, with no other process in between.
   *
   * @param change makes the new text, or undefined to leave the old one
   * @returns whether there is a new one
   */
  async changeNote(
    name: string,
    change: (text: string | undefined) => string | undefined,
  ): Promise<boolean> {
    const isChanged = await this.#connection.run("note in", (file) =>
      file.exclusively(() => {
        const text = change(file.note(name));
        if (text !== undefined) file.setNote(name, text);
        return text !== undefined;
      }),
    );
    return isChanged === true;
  }

  async markScanned(): Promise<void> {
    await this.#connection.run("note the scan in", (file) => {
      file.setScannedBoot(this.#options.bootId);
    });
  }

  /**
   * Runs work on the rows of seeds, in one transaction that writes.
   *
   * @returns what the work returns; undefined: the index does not answer
   */
  async changeSeeds<T>(work: (seeds: SeedRows) => T): Promise<T | undefined> {
    return this.#connection.run("write seeds to", (file) =>
      file.exclusively(() => work(file.seeds)),
    );
  }

  /** The same for work that only reads. */
  async readSeeds<T>(work: (seeds: SeedRows) => T): Promise<T | undefined> {
    return this.#connection.run("read seeds in", (file) => work(file.seeds));
  }

  /** Writes what waits. */
  flush(): Promise<void> {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    this.#flushing = this.#flushing.then(async () => {
      const { size: serverCount } = this.#servers;
      if (this.#uses.size + this.#gone.size + this.#sizes.size + serverCount > 0) {
        await this.#writeWith("write to", () => undefined);
      }
    });
    return this.#flushing;
  }

  /** Writes what waits, for at most LIMITS.store.indexBusyMs, and closes the file. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
    this.#connection.close();
  }

  #scheduleFlush(): void {
    if (this.#isClosed) return;
    this.#cancelFlush ??= this.#options.clock.after(LIMITS.store.indexFlushMs, () => {
      void this.flush();
    });
  }

  /** Writes what waits and whatever else, in one transaction. */
  async #writeWith<T>(doing: string, work: (file: IndexFile) => T): Promise<T | undefined> {
    const written = await this.#connection.run(doing, (file) => {
      const result = file.exclusively(() => {
        const uncounted = this.#writePending(file);
        return { uncounted, value: work(file) };
      });
      // In the same turn as the commit: nothing has been added that was not written.
      this.#uses.clear();
      this.#gone.clear();
      this.#sizes.clear();
      this.#servers.clear();
      return result;
    });
    if (written && written.uncounted.length > 0) await this.#addUncounted(written.uncounted);
    return written?.value;
  }

  /** @returns blocks that have no row now */
  #writePending(file: IndexFile): readonly BlockHash[] {
    const uncounted: BlockHash[] = [];
    for (const hash of this.#gone) {
      if (isCached(this.#options.layout, hash)) continue;
      file.remove(hash);
      uncounted.push(hash);
    }
    for (const hash of this.#uses) if (!file.touch(hash)) uncounted.push(hash);
    for (const [digest, sizeBytes] of this.#sizes) file.setListSize(digest, sizeBytes);
    if (this.#sizes.size > 0) file.trimListSizes(LIMITS.store.maxListSizes);
    this.#servers.writeTo(file);
    return uncounted;
  }

  /** Adds those that are there: cached again while their rows went, or while the index did not answer. */
  async #addUncounted(hashes: readonly BlockHash[]): Promise<void> {
    const found: FoundFile[] = [];
    for (const hash of hashes) {
      const sizeBytes = await cachedBytes(this.#options.layout, hash);
      if (sizeBytes !== undefined) found.push({ hash, sizeBytes });
    }
    if (found.length === 0) return;
    await this.#connection.run("add used blocks to", (file) => {
      file.exclusively(() => {
        for (const { hash, sizeBytes } of found) file.add(hash, sizeBytes);
      });
    });
  }
}

function planRoomIn(
  file: IndexFile,
  incomingBytes: number,
  disk: DiskState,
  spared: ReadonlySet<BlockHash>,
): RoomPlan {
  const cachedBytes = file.cachedBytes();
  return planRoom({
    cachedBytes,
    incomingBytes,
    allowedBytes: allowedBytes(disk, cachedBytes),
    evictToFraction: LIMITS.store.evictToFraction,
    maxEvictCount: LIMITS.store.evictBatchCount,
    leastRecentFirst: file.leastRecentFirst(),
    spared,
  });
}

/** Cost: none but for the one that is dropped, since a collection yields its keys in order. */
function dropOldest(collection: Set<unknown> | Map<unknown, unknown>): void {
  if (collection.size <= LIMITS.store.maxPendingRows) return;
  const [oldest] = collection.keys();
  collection.delete(oldest);
}

/** The ports where the pieces meet: who can give a block, who can hold one, who remembers a list's size. */
import type { BlockHash } from "./hash.js";
import type { Urgency } from "../core/urgency.js";
import type { VerifiedBlock } from "./verify.js";

export interface BlockRequest {
  readonly hash: BlockHash;
  /** The most bytes the block can have; a source cuts off what is longer. 1 to 64 MiB. */
  readonly maxBytes: number;
  /** What it has in all likelihood, by which is judged what takes long; `maxBytes` unless said otherwise. */
  readonly expectedBytes?: number | undefined;
  readonly signal: AbortSignal;
  /** WAITED_FOR unless said otherwise. */
  readonly urgency?: Urgency | undefined;
  /** The psyncs that the request came through, as their servers name themselves; empty unless said otherwise. */
  readonly via?: readonly string[] | undefined;
  /** Called when servers are about to be asked, where that had to wait for a limited rate: the wait is not theirs. */
  readonly onTurn?: (() => void) | undefined;
}

/** Anything that can give a block by its hash. */
export interface BlockSource {
  /**
   * @throws ERR_PSYNC_BLOCK_NOT_FOUND nobody has it; ERR_PSYNC_BLOCK_UNAVAILABLE no valid copy was to be had
   *   this time. `details` say who was asked and what each did
   * @throws GivenUpAhead it was work ahead, and only who answers at once was asked
   * @throws the signal's reason, soon after it is aborted
   */
  fetch(request: BlockRequest): Promise<VerifiedBlock>;
}

/** A folder of the store. `kept`: never evicted. `cached`: may go at any time. */
export type BlockPlace = "kept" | "cached";

export interface StoredBlock {
  /** `seed`: in a file of the user's, who may change it at any time; asked only for what lies in no folder of the store. */
  readonly place: BlockPlace | "seed";
  readonly sizeBytes: number;
}

/** A local holder of blocks. Whatever it gives back is verified; it may be shared by several processes. */
export interface BlockStore {
  /** Where a block lies, by its name and length alone: the bytes are not read. Of a seed, its size and mtime are. */
  find(hash: BlockHash): Promise<StoredBlock | undefined>;

  /**
   * Reads and verifies a block, and notes its use. A bad one is set aside, logged, and counts as not there. What a
   * seed has in its place is left alone.
   *
   * @throws ERR_PSYNC_STORE the store cannot be read (not: the block is not there)
   */
  read(hash: BlockHash): Promise<VerifiedBlock | undefined>;

  /**
   * Makes blocks kept. When it returns they are durable: synced, renamed, and their folder synced.
   * A block that is kept already is compared with the bytes given, and replaced where it differs.
   *
   * @throws ERR_PSYNC_STORE a write or a sync failed; blocks finished before it stay
   */
  keep(blocks: readonly VerifiedBlock[]): Promise<void>;

  /**
   * Makes a block kept that is cached or in a seed, durable when it returns.
   *
   * @returns false where no valid copy is in the store
   * @throws ERR_PSYNC_STORE
   */
  pin(hash: BlockHash): Promise<boolean>;

  /**
   * Makes blocks durable that are kept already: whoever put them there need not have synced them yet.
   * Their bytes are not read.
   *
   * @throws ERR_PSYNC_STORE one of them is not kept, or a sync failed
   */
  sync(hashes: readonly BlockHash[]): Promise<void>;

  /**
   * Says that blocks will be needed, kept or not: from now until `close` nothing takes them out of what is kept.
   * Whatever keeps or syncs blocks claims them itself; who first looks where they are claims them before that.
   *
   * @throws ERR_PSYNC_STORE it could not be said
   */
  claim(hashes: Iterable<BlockHash>): Promise<void>;

  /**
   * Puts a block into the cache, evicting what was used least lately to stay in the quota.
   *
   * @throws ERR_PSYNC_STORE it could not be written; nothing partial is left
   */
  cache(block: VerifiedBlock): Promise<void>;

  close(): Promise<void>;
}

/** What becomes of a kept block that is taken away. `cache`: it moves to the cache, as one that was used just now. */
export type SweepTo = "nowhere" | "cache";

export interface SweepTotals {
  /** Blocks that are not kept any more, and what their files took. */
  takenCount: number;
  takenBytes: number;
  /** Of these, those for which the cache had no room: they are gone. */
  droppedCount: number;
  /** Blocks that stay, since a running process claims them. */
  claimedCount: number;
}

/**
 * Takes kept blocks away, beside others that keep, read and serve. It begins before the lists are read that say what
 * is needed: whatever is claimed from then on stays. One runs at a time on a store.
 */
export interface Sweep {
  /**
   * Takes blocks away, one by one, unless they are claimed; those that are not kept are passed over. A crash leaves
   * each where it was or where it goes.
   *
   * @throws ERR_PSYNC_STORE a block could not be taken away; the signal's reason. What was done stays done
   */
  take(
    hashes: Iterable<BlockHash>,
    to: SweepTo,
    options: {
      readonly signal: AbortSignal;
      readonly onProgress?: (totals: SweepTotals) => void;
    },
  ): Promise<SweepTotals>;
  close(): void;
}

/**
 * What is remembered of a server over restarts, by its address without credentials. Averages are weighted to the
 * recent past. All of it can be lost without harm.
 */
export interface ServerRecord {
  /** From the request to the first byte of the answer; undefined: never measured. */
  readonly firstByteMs: number | undefined;
  /** Of one request's body, once it came. */
  readonly bytesPerSecond: number | undefined;
  /** Requests under way at once that served best; a fraction while it is being found. */
  readonly requestLimit: number;
  /** Of the recent requests, 0 to 1. */
  readonly failedFraction: number;
  readonly notFoundFraction: number;
  /** Blocks it gave, and wrong ones, since it is known. */
  readonly blockCount: number;
  readonly lieCount: number;
  /** The length of its last ban, and when it ends, in ms since 1970; 0: never banned. */
  readonly banMs: number;
  readonly banEndUnixMs: number;
  /** When it was asked last; ms since 1970. */
  readonly askedUnixMs: number;
}

/** Remembers servers. May forget at any time; several processes use one, and what they write is merged. */
export interface ServerMemory {
  /** All that are known, by address without credentials. What is not a record is left out. */
  load(): ReadonlyMap<string, ServerRecord>;
  /** Notes records; they are written soon, together, and at the close of the store. */
  save(records: ReadonlyMap<string, ServerRecord>): void;
}

/** Remembers sizes of plain lists that were learned from their last block. May forget at any time. */
export interface SizeMemory {
  /** @param digest 64 hex digits, the list's digest */
  get(digest: string): number | undefined;
  set(digest: string, sizeBytes: number): void;
}

/** A file of the user's as it was when it was hashed. */
export interface SeedFile {
  /** Absolute, without symlinks, UTF-8. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** How it was cut. */
  readonly blockSizeBytes: number;
}

/** Takes the names of a file's blocks, in order. */
export interface SeedWriter {
  add(hash: BlockHash): Promise<void>;
  /**
   * Makes the file a seed of the store for good; durable when it returns.
   *
   * @throws ERR_PSYNC_STORE it could not be written down
   */
  keep(): Promise<void>;
}

/** Takes files whose blocks stay where they are. */
export interface SeedKeeper {
  begin(file: SeedFile): SeedWriter;
}

/** The ports where the pieces meet: who can give a block, who can hold one, who remembers a list's size. */
import type { BlockHash } from "./hash.js";
import type { VerifiedBlock } from "./verify.js";

export interface BlockRequest {
  readonly hash: BlockHash;
  /** The most bytes the block can have; a source cuts off what is longer. 1 to 64 MiB. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Anything that can give a block by its hash. */
export interface BlockSource {
  /**
   * @throws ERR_PSYNC_BLOCK_UNAVAILABLE no valid copy was to be had; `details` say who was asked and what each did
   * @throws the signal's reason, soon after it is aborted
   */
  fetch(request: BlockRequest): Promise<VerifiedBlock>;
}

/** `kept`: never evicted. `cached`: may go at any time. */
export type BlockPlace = "kept" | "cached";

export interface StoredBlock {
  readonly place: BlockPlace;
  readonly sizeBytes: number;
}

/** A local holder of blocks. Whatever it gives back is verified; it may be shared by several processes. */
export interface BlockStore {
  /** Where a block lies, by its name and length alone: the bytes are not read. */
  find(hash: BlockHash): Promise<StoredBlock | undefined>;

  /**
   * Reads and verifies a block, and notes its use. A bad one is set aside, logged, and counts as not there.
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
   * Makes a cached block kept, durable when it returns.
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
   * Puts a block into the cache, evicting what was used least lately to stay in the quota.
   *
   * @throws ERR_PSYNC_STORE it could not be written; nothing partial is left
   */
  cache(block: VerifiedBlock): Promise<void>;

  close(): Promise<void>;
}

/** Remembers sizes of plain lists that were learned from their last block. May forget at any time. */
export interface SizeMemory {
  /** @param digest 64 hex digits, the list's digest */
  get(digest: string): number | undefined;
  set(digest: string, sizeBytes: number): void;
}

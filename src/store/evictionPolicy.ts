/** Which cached blocks go, and how much the cache may hold. Pure: no clock, no disk, no index. */
import type { BlockHash } from "../block/hash.js";
import type { FreeSpace } from "../core/bytes.js";

/** A cached block as the index knows it. */
export interface CachedBlock {
  readonly hash: BlockHash;
  /** What the file takes of the disk; see `diskBytes`. */
  readonly sizeBytes: number;
  /** Grows with every use of any block; the smallest is the least recently used. */
  readonly use: number;
}

const PAGE_BYTES = 4096;

/** What a file of this length takes of the disk: whole pages, so that many small blocks count in full. */
export function diskBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES) * PAGE_BYTES;
}

export interface DiskState {
  /** The user's quota. */
  readonly quotaBytes: number;
  /** What an unprivileged user can still write. */
  readonly freeBytes: number;
  /** The whole file system. */
  readonly totalBytes: number;
  /** What is left free of the file system. */
  readonly minFree: FreeSpace;
}

/**
 * What the cache may hold: the quota, or what leaves as much of the disk free as is wanted, whichever is less.
 *
 * @param cachedBytes what it holds now
 * @returns integer bytes ≥ 0
 */
export function allowedBytes(disk: DiskState, cachedBytes: number): number {
  const { minFree } = disk;
  const minFreeBytes =
    "bytes" in minFree ? minFree.bytes : Math.ceil(disk.totalBytes * minFree.fraction);
  const spareBytes = disk.freeBytes - minFreeBytes;
  return Math.max(0, Math.min(disk.quotaBytes, cachedBytes + spareBytes));
}

export interface RoomRequest {
  readonly cachedBytes: number;
  readonly incomingBytes: number;
  readonly allowedBytes: number;
  /** Once something has to go, as much goes as leaves the cache, new block included, at this part. */
  readonly evictToFraction: number;
  /** No more than these, once they make room for the new block: the rest goes when room is needed again. */
  readonly maxEvictCount: number;
  /** Ordered by use, least recent first; read only as far as needed. */
  readonly leastRecentFirst: Iterable<CachedBlock>;
  /** These stay, such as what is being written; none unless said otherwise. */
  readonly spared?: ReadonlySet<BlockHash>;
}

export interface RoomPlan {
  /** Whether the new block fits when these are gone. */
  readonly fits: boolean;
  readonly evict: readonly CachedBlock[];
}

/** Chooses what goes to make room for a block; nothing where it fits as it is. */
export function planRoom(request: RoomRequest): RoomPlan {
  const { cachedBytes, incomingBytes, allowedBytes: allowed, evictToFraction } = request;
  const fits = (leftBytes: number): boolean => leftBytes + incomingBytes <= allowed;
  if (fits(cachedBytes)) return { fits: true, evict: [] };
  const targetBytes = Math.floor(allowed * evictToFraction);
  const evict: CachedBlock[] = [];
  let leftBytes = cachedBytes;
  for (const block of request.leastRecentFirst) {
    // A new block larger than the target alone still fits in an empty cache.
    if (leftBytes + incomingBytes <= targetBytes) break;
    if (evict.length >= request.maxEvictCount && fits(leftBytes)) break;
    if (request.spared?.has(block.hash) === true) continue;
    evict.push(block);
    leftBytes -= block.sizeBytes;
  }
  return { fits: fits(leftBytes), evict };
}

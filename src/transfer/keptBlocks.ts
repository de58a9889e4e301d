/** Which kept blocks may go: those that no list names (`gc`), or those of lists that no other list names (`unpin`). */
import type { BlockHash } from "../block/hash.js";
import { HashSet } from "../block/hashSet.js";
import type { BlockStore } from "../block/ports.js";
import { inParallel } from "../core/inParallel.js";
import { LIMITS } from "../core/limits.js";
import type { Hashlist } from "../hashlist/hashlist.js";

export interface NamedBlocks {
  readonly listCount: number;
  readonly hashes: HashSet;
}

/**
 * Every block that the lists name.
 *
 * @throws what reading the lists throws
 * Cost: about 100 bytes of memory a distinct block.
 */
export async function namedBlocks(
  lists: AsyncIterable<{ readonly list: Hashlist }>,
): Promise<NamedBlocks> {
  const hashes = new HashSet();
  let listCount = 0;
  for await (const { list } of lists) {
    listCount += 1;
    for (let index = 0; index < list.blockCount; index += 1) hashes.add(list.hashAt(index));
  }
  return { listCount, hashes };
}

export interface Unneeded {
  readonly hashes: HashSet;
  /** Bytes of their files. */
  readonly sizeBytes: number;
  /** Blocks of the candidates that stay, since a list names them. */
  readonly namedCount: number;
  /** Blocks that stay, since a running process claims them. */
  readonly claimedCount: number;
}

/**
 * Kept blocks among the candidates that no list names and nobody claims.
 *
 * @throws ERR_PSYNC_STORE the store cannot be read; the signal's reason
 * Cost: a look at the file of each block that may go, and about 100 bytes of memory.
 */
export async function findUnneeded(
  candidates: AsyncIterable<BlockHash> | Iterable<BlockHash>,
  parts: {
    readonly store: BlockStore;
    readonly named: HashSet;
    readonly claimed: HashSet;
    readonly signal: AbortSignal;
  },
): Promise<Unneeded> {
  const { store, named, claimed, signal } = parts;
  const possible = new HashSet();
  let namedCount = 0;
  let claimedCount = 0;
  for await (const hash of candidates) {
    signal.throwIfAborted();
    if (named.has(hash)) namedCount += 1;
    else if (claimed.has(hash)) claimedCount += 1;
    else possible.add(hash);
  }
  const hashes = new HashSet();
  let sizeBytes = 0;
  await inParallel(possible, LIMITS.read.lookUpsAtOnce, async (hash) => {
    signal.throwIfAborted();
    const found = await store.find(hash);
    if (found?.place !== "kept") return;
    hashes.add(hash);
    sizeBytes += found.sizeBytes;
  });
  return { hashes, sizeBytes, namedCount, claimedCount };
}

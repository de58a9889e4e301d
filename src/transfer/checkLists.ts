/** Whether every byte of lists is in the store: what is missing, and what is there and damaged. */
import type { BlockHash } from "../block/hash.js";
import { HashSet } from "../block/hashSet.js";
import type { BlockPlace, BlockStore } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { inParallel } from "../core/inParallel.js";
import { LIMITS } from "../core/limits.js";
import { createSemaphore } from "../core/semaphore.js";
import { fitsLength, listedLengthBytes, type Hashlist } from "../hashlist/hashlist.js";

export interface UnreadableBlock {
  readonly blockIndex: number;
  readonly hash: BlockHash;
  readonly state: "missing" | "damaged";
}

export interface ListCheck {
  readonly blockCount: number;
  missingCount: number;
  /** Bytes of the file that lie in missing blocks; where the list does not say how long its last one is, at most. */
  missingBytes: number;
  /** Blocks that are there and are not what their name says, or not as long as the list says. */
  damagedCount: number;
  damagedBytes: number;
  /** Of both kinds, by place; the first thousand. */
  readonly blocks: UnreadableBlock[];
}

const MAX_SHOWN_BLOCKS = 1_000;
const PLACES = ["kept", "cached"] as const;

/** What lies in the place of a block. */
type Judged =
  | { readonly kind: "good"; readonly block: VerifiedBlock }
  | { readonly kind: "bad" | "absent" | "unreadable" };

export interface CheckOptions {
  readonly store: BlockStore;
  /** Reads a block's file in one place, and leaves it there. */
  readonly judge: (place: BlockPlace, hash: BlockHash) => Promise<Judged>;
  /** Looks at names and lengths only. */
  readonly quick: boolean;
  readonly signal: AbortSignal;
  /** Called after each block of a list. */
  readonly onBlock?: (sizeBytes: number) => void;
}

/** Checks lists; each block is read once, whichever of them have it. */
export interface ListChecker {
  /**
   * @throws ERR_PSYNC_STORE the store cannot be read; the signal's reason
   * Cost: a read and a SHA-256 of each block; with `quick` one look at its file.
   */
  check(list: Hashlist): Promise<ListCheck>;
}

interface Seen {
  readonly state: UnreadableBlock["state"] | "good";
  readonly sizeBytes: number;
}

export function createListChecker(options: CheckOptions): ListChecker {
  const { store, judge, quick, signal, onBlock } = options;
  const good = new HashSet();
  const damaged = new HashSet();
  /** Blocks being looked at, each once, although a list may have it in many places. */
  const underWay = new Map<BlockHash, Promise<Seen>>();
  const room = createSemaphore(LIMITS.memory.storeReadBytes);

  const noteGood = ({ hash, bytes }: VerifiedBlock): Seen => {
    good.add(hash);
    return { state: "good", sizeBytes: bytes.length };
  };

  const look = async (hash: BlockHash): Promise<Seen> => {
    if (damaged.has(hash)) return { state: "damaged", sizeBytes: 0 };
    const found = await store.find(hash);
    if (!found) return { state: "missing", sizeBytes: 0 };
    const { sizeBytes } = found;
    if (quick || good.has(hash)) return { state: "good", sizeBytes };
    return room.run(Math.max(1, sizeBytes), { signal }, async () => {
      let isBad = false;
      for (const place of PLACES) {
        const judged = await judge(place, hash);
        if (judged.kind === "good") return noteGood(judged.block);
        isBad = judged.kind === "bad";
        if (isBad) break;
      }
      // Finds another copy, what lies in a seed, and what was moved meanwhile.
      const block = await store.read(hash);
      if (block) return noteGood(block);
      // Evicted since it was found, or a file of the user's has changed: nothing that psync looks after is damaged.
      if (!isBad) return { state: "missing", sizeBytes: 0 };
      damaged.add(hash);
      return { state: "damaged", sizeBytes: 0 };
    });
  };

  const lookOnce = (hash: BlockHash): Promise<Seen> => {
    const known = underWay.get(hash);
    if (known) return known;
    const looking = look(hash).finally(() => underWay.delete(hash));
    underWay.set(hash, looking);
    return looking;
  };

  return {
    async check(list) {
      const result: ListCheck = {
        blockCount: list.blockCount,
        missingCount: 0,
        missingBytes: 0,
        damagedCount: 0,
        damagedBytes: 0,
        blocks: [],
      };
      await inParallel(indices(list.blockCount), LIMITS.read.lookUpsAtOnce, async (blockIndex) => {
        signal.throwIfAborted();
        const seen = await lookOnce(list.hashAt(blockIndex));
        const isWrongLength =
          seen.state === "good" && !fitsLength(list, blockIndex, seen.sizeBytes);
        const state = isWrongLength ? "damaged" : seen.state;
        const sizeBytes = listedLengthBytes(list, blockIndex) ?? list.blockSizeBytes;
        if (state !== "good") {
          result[`${state}Count`] += 1;
          result[`${state}Bytes`] += sizeBytes;
          if (result.blocks.length < MAX_SHOWN_BLOCKS) {
            result.blocks.push({ blockIndex, hash: list.hashAt(blockIndex), state });
          }
        }
        onBlock?.(sizeBytes);
      });
      result.blocks.sort((a, b) => a.blockIndex - b.blockIndex);
      return result;
    },
  };
}

function* indices(count: number): Generator<number> {
  for (let index = 0; index < count; index += 1) yield index;
}

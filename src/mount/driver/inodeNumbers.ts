/**
 * 53-bit inode numbers in 32 bits, for drivers that cannot pass on more.
 * Knows nothing of paths: two different numbers stay different, and a number keeps its place while the process lives.
 */

export interface InodeNumbers {
  /**
   * @param inode integer in 1..2^53−1
   * @returns integer in 2..2^32−2; the same over remounts unless it met a collision. Two numbers share one only where
   *   more than `maxRemembered` were asked for
   */
  narrow(inode: number): number;
  /** How many numbers are remembered. */
  readonly size: number;
}

/** The root's, which no other file gets. */
export const ROOT_INODE = 1;

const FIRST = 2;
/** 0 is no inode and 2^32−1 is what libfuse takes as "unknown". */
const COUNT = 2 ** 32 - 1 - FIRST;
const FREE = 0;
const START_CAPACITY = 1024;

/**
 * Cost: 12 bytes a slot, at most half of the slots used: 24 to 48 bytes a number, about 40 MB for a million.
 * A Map would need three times that. Each name that was ever shown has one, as long as the mount lives; above the bound
 * a further one is not remembered, and gets the place where it would lie alone.
 */
export function createInodeNumbers({
  maxRemembered,
}: {
  readonly maxRemembered: number;
}): InodeNumbers {
  let narrowed = new Uint32Array(START_CAPACITY);
  let owners = new Float64Array(START_CAPACITY);
  let size = 0;

  /** The slot that has the number, or the free one where it belongs. */
  const slotOf = (number: number): number => {
    const mask = narrowed.length - 1;
    let slot = Math.imul(number, 0x9e3779b1) & mask;
    while (narrowed[slot] !== FREE && narrowed[slot] !== number) slot = (slot + 1) & mask;
    return slot;
  };

  const grow = (): void => {
    const [oldNarrowed, oldOwners] = [narrowed, owners];
    narrowed = new Uint32Array(oldNarrowed.length * 2);
    owners = new Float64Array(oldNarrowed.length * 2);
    oldNarrowed.forEach((number, index) => {
      if (number === FREE) return;
      const slot = slotOf(number);
      narrowed[slot] = number;
      owners[slot] = oldOwners[index] ?? FREE;
    });
  };

  return {
    narrow(inode) {
      let candidate = fold(inode);
      for (;;) {
        const slot = slotOf(candidate);
        if (narrowed[slot] === FREE) {
          if (size >= maxRemembered) return fold(inode);
          narrowed[slot] = candidate;
          owners[slot] = inode;
          size += 1;
          if (size * 2 > narrowed.length) grow();
          return candidate;
        }
        if (owners[slot] === inode) return candidate;
        candidate = candidate === FIRST + COUNT - 1 ? FIRST : candidate + 1;
      }
    },
    get size() {
      return size;
    },
  };
}

/** Where a number would lie alone: itself where it fits, else both halves mixed. */
export function fold(inode: number): number {
  const high = Math.floor(inode / 2 ** 32);
  const low = inode >>> 0;
  const mixed = high === 0 ? low : (low ^ Math.imul(high, 0x85ebca6b)) >>> 0;
  return mixed < FIRST ? mixed + FIRST : mixed >= FIRST + COUNT ? FIRST : mixed;
}

/**
 * The bytes that all readers of a mount together may have asked for ahead and not yet read, so that they do not
 * drive each other's blocks out of the memory cache. Each stream has a share; one that is not read any more loses it.
 */
import type { Clock } from "../core/clock.js";
import { LIMITS } from "../core/limits.js";

export interface AheadShare {
  /**
   * Takes bytes, unless the budget is used up or others have less: a share is as large as any other, and one
   * block at least where the budget has that.
   */
  take(sizeBytes: number): boolean;
  give(sizeBytes: number): void;
  /** Notes that its stream is read. */
  noteRead(): void;
  /** Gives everything back. */
  leave(): void;
}

export interface AheadBudget {
  /** @param onIdle the share was given up, since its stream was not read for long and others need the room */
  join(onIdle: () => void): AheadShare;
}

interface Holder {
  heldBytes: number;
  readMs: number;
  readonly giveUp: () => void;
}

/** @param options.maxBytes bytes of blocks, each counted as its list's block size */
export function createAheadBudget(options: {
  readonly clock: Clock;
  readonly maxBytes: number;
}): AheadBudget {
  const { clock, maxBytes } = options;
  /** The one that was read least lately first. */
  const holders = new Set<Holder>();
  let usedBytes = 0;

  const endIdle = (): void => {
    const nowMs = clock.nowMs();
    for (const holder of holders) {
      if (nowMs - holder.readMs < LIMITS.readAhead.idleMs) return;
      holder.giveUp();
    }
  };

  return {
    join(onIdle) {
      const leave = (): void => {
        if (!holders.delete(holder)) return;
        usedBytes -= holder.heldBytes;
      };
      const holder: Holder = {
        heldBytes: 0,
        readMs: clock.nowMs(),
        giveUp: () => {
          leave();
          onIdle();
        },
      };
      holders.add(holder);
      return {
        leave,
        take(sizeBytes) {
          if (!holders.has(holder)) return false;
          endIdle();
          const shareBytes = Math.max(sizeBytes, maxBytes / holders.size);
          if (holder.heldBytes + sizeBytes > shareBytes || usedBytes + sizeBytes > maxBytes) {
            return false;
          }
          holder.heldBytes += sizeBytes;
          usedBytes += sizeBytes;
          return true;
        },
        give(sizeBytes) {
          if (!holders.has(holder)) return;
          holder.heldBytes -= sizeBytes;
          usedBytes -= sizeBytes;
        },
        noteRead() {
          if (!holders.delete(holder)) return;
          holder.readMs = clock.nowMs();
          holders.add(holder);
        },
      };
    },
  };
}

/**
 * How many bytes may come in a time, as a bucket of tokens that fills at the rate. It knows no connections: whoever
 * is about to ask for bytes takes them first, and settles afterwards what it came to.
 */
import type { Clock } from "./clock.js";
import { LIMITS } from "./limits.js";
import { createWaitQueue, type WaitOptions } from "./waitQueue.js";

export interface RateLimiter {
  /**
   * Waits until nothing is owed, and takes the bytes, which may be more than the bucket holds: those are owed. What
   * somebody waits for is served first, then what is done ahead, each in the order it came.
   *
   * @throws the signal's reason, when it is aborted while waiting; nothing is taken then
   */
  take(sizeBytes: number, waiting: WaitOptions): Promise<void>;
  /** Counts bytes that came without being taken before. */
  charge(sizeBytes: number): void;
  /** Gives back what was taken: it did not come, or was charged. */
  giveBack(sizeBytes: number): void;
}

export function createRateLimiter(options: {
  readonly bytesPerSecond: number;
  readonly clock: Clock;
}): RateLimiter {
  const { bytesPerSecond, clock } = options;
  const burstBytes = (bytesPerSecond * LIMITS.rate.burstMs) / 1000;
  const queue = createWaitQueue();
  /** Below 0: owed. */
  let tokenBytes = burstBytes;
  let countedMs = clock.nowMs();
  let waiterCount = 0;
  let cancelWake = (): void => undefined;

  const add = (sizeBytes: number): void => {
    const nowMs = clock.nowMs();
    const filledBytes = ((nowMs - countedMs) * bytesPerSecond) / 1000;
    tokenBytes = Math.min(burstBytes, tokenBytes + filledBytes + sizeBytes);
    countedMs = nowMs;
  };

  /** Comes back when nothing is owed. A timer that fires too early comes back once more. */
  const setWake = (): void => {
    cancelWake();
    const delayMs = Math.max(1, Math.ceil((-tokenBytes * 1000) / bytesPerSecond));
    cancelWake = clock.after(delayMs, queue.wake);
  };

  return {
    async take(sizeBytes, waiting) {
      waiterCount += 1;
      try {
        await queue.wait(() => {
          add(0);
          if (tokenBytes < 0) {
            setWake();
            return { type: "hold" };
          }
          tokenBytes -= sizeBytes;
          return { type: "served", value: undefined };
        }, waiting);
      } finally {
        waiterCount -= 1;
        // A timer that nobody waits for would keep the process alive.
        if (waiterCount === 0) cancelWake();
      }
    },
    charge(sizeBytes) {
      add(-sizeBytes);
    },
    giveBack(sizeBytes) {
      add(sizeBytes);
      queue.wake();
    },
  };
}

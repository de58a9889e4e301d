/**
 * Places that are taken and given back: bounds how much of something happens at once.
 * What somebody waits for goes first, and some places can be kept for it alone.
 */
import { createWaitQueue, type WaitOptions } from "./waitQueue.js";

export interface Semaphore {
  /**
   * Waits for the weight to be free, and takes it. A weight above what there is is taken as all of it.
   *
   * @returns gives the places back; further calls do nothing
   * @throws the signal's reason, when it is aborted while waiting
   */
  acquire(weight: number, waiting: WaitOptions): Promise<() => void>;
  /** Runs work in one place. */
  run<T>(weight: number, waiting: WaitOptions, work: () => Promise<T>): Promise<T>;
}

/** @param keptForWaiting places that work done ahead leaves free, fewer than the capacity */
export function createSemaphore(capacity: number, keptForWaiting = 0): Semaphore {
  let free = capacity;
  const queue = createWaitQueue();

  const releaseOf = (weight: number) => {
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      free += weight;
      queue.wake();
    };
  };

  const acquire: Semaphore["acquire"] = (wanted, waiting) =>
    queue.wait(() => {
      const spared = waiting.urgency?.isWaitedFor === false ? keptForWaiting : 0;
      const weight = Math.min(wanted, capacity - spared);
      // A heavy one would wait for ever if lighter ones could pass it.
      if (weight > free - spared) return { type: "hold" };
      free -= weight;
      return { type: "served", value: releaseOf(weight) };
    }, waiting);

  return {
    acquire,
    async run(weight, waiting, work) {
      const release = await acquire(weight, waiting);
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}

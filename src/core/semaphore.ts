/**
 * Places that are taken and given back: bounds how much of something happens at once.
 * Waiters are served in the order they came; one that gives up leaves its place in the row.
 */
import { abortReason } from "./abort.js";

export interface Semaphore {
  /**
   * Waits for the weight to be free, and takes it. A weight above the capacity is taken as the whole capacity.
   *
   * @returns gives the places back; further calls do nothing
   * @throws the signal's reason, when it is aborted while waiting
   */
  acquire(weight: number, signal: AbortSignal): Promise<() => void>;
  /** Runs work in one place. */
  run<T>(weight: number, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

interface Waiter {
  readonly weight: number;
  readonly grant: () => void;
}

export function createSemaphore(capacity: number): Semaphore {
  let free = capacity;
  const waiters = new Set<Waiter>();

  const releaseOf = (weight: number) => {
    let taken = true;
    return () => {
      if (!taken) return;
      taken = false;
      free += weight;
      serveWaiters();
    };
  };

  const serveWaiters = (): void => {
    for (const waiter of waiters) {
      if (waiter.weight > free) return;
      waiters.delete(waiter);
      free -= waiter.weight;
      waiter.grant();
    }
  };

  const acquire = (wanted: number, signal: AbortSignal): Promise<() => void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const weight = Math.min(wanted, capacity);
      const onAbort = (): void => {
        waiters.delete(waiter);
        reject(abortReason(signal));
        // A heavy waiter that left may have held back lighter ones.
        serveWaiters();
      };
      const waiter: Waiter = {
        weight,
        grant: () => {
          signal.removeEventListener("abort", onAbort);
          resolve(releaseOf(weight));
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      waiters.add(waiter);
      serveWaiters();
    });

  return {
    acquire,
    async run(weight, signal, work) {
      const release = await acquire(weight, signal);
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}

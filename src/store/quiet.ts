/** Reads of the store that are under way, so that work which nobody waits for can stand back. */
import type { Clock } from "../core/clock.js";

export interface Quiet {
  /** Counts work as a read while it runs. */
  during<T>(work: () => Promise<T>): Promise<T>;
  /** Waits until no read is under way, but not longer than that. */
  wait(timeoutMs: number): Promise<void>;
}

export function createQuiet(clock: Clock): Quiet {
  const waiters = new Set<() => void>();
  let runningCount = 0;
  return {
    async during(work) {
      runningCount += 1;
      try {
        return await work();
      } finally {
        runningCount -= 1;
        if (runningCount === 0) for (const wake of waiters) wake();
      }
    },
    async wait(timeoutMs) {
      if (runningCount === 0) return;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          cancel();
          waiters.delete(wake);
          resolve();
        };
        const cancel = clock.after(timeoutMs, wake);
        waiters.add(wake);
      });
    },
  };
}

/** The calls of a store that are under way, so that closing it waits for them and refuses new ones. */
import { PsyncError } from "../core/errors.js";

export interface OpenCalls {
  /** @throws ERR_PSYNC_STORE the store is closed */
  run<T>(call: () => Promise<T>): Promise<T>;
  /** Refuses calls from now on, and waits for those that run. */
  end(): Promise<void>;
}

export function createOpenCalls(path: string): OpenCalls {
  const running = new Set<Promise<unknown>>();
  let isEnded = false;
  return {
    async run(call) {
      if (isEnded) throw new PsyncError("ERR_PSYNC_STORE", `the store ${path} is closed`);
      const promise = call();
      running.add(promise);
      try {
        return await promise;
      } finally {
        running.delete(promise);
      }
    },
    async end() {
      isEnded = true;
      await Promise.allSettled(running);
    },
  };
}

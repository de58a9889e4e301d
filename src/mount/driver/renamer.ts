/** Talks to the thread that renames names of our own mount; started when it is first needed. */
import { Worker } from "node:worker_threads";
import type { RenameReply, RenameRequest } from "./renameWorker.js";

export interface Renamer {
  /**
   * One step at a time; the caller waits for each.
   *
   * @throws Error with the failed system call's message
   */
  send(request: RenameRequest): Promise<void>;
  close(): Promise<void>;
}

export function createRenamer(): Renamer {
  let worker: Worker | undefined;

  const start = (): Worker => {
    const started = new Worker(new URL("./renameWorker.js", import.meta.url), {
      // Its own heap is tiny; nothing is printed there.
      resourceLimits: { maxOldGenerationSizeMb: 16 },
      execArgv: [],
    });
    started.unref();
    return started;
  };

  return {
    send(request) {
      worker ??= start();
      const thread = worker;
      return new Promise((resolve, reject) => {
        const settle = (error: Error | undefined): void => {
          thread.off("message", onMessage);
          thread.off("error", settle);
          thread.off("exit", onExit);
          if (error) reject(error);
          else resolve();
        };
        const onMessage = ({ error }: RenameReply): void => {
          settle(error === undefined ? undefined : new Error(error));
        };
        const onExit = (): void => {
          worker = undefined;
          settle(new Error("the renaming thread ended"));
        };
        thread.on("message", onMessage);
        thread.on("error", settle);
        thread.on("exit", onExit);
        thread.postMessage(request);
      });
    },
    async close() {
      const thread = worker;
      worker = undefined;
      await thread?.terminate();
    },
  };
}

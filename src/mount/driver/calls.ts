/**
 * The calls of the kernel that are under way, and the one way to answer them.
 * Whatever the work does (throws, rejects, never settles, settles late), each call is answered exactly once.
 */
import { setMaxListeners } from "node:events";
import { errorMessage, PsyncError } from "../../core/errors.js";
import type { Logger } from "../../core/log.js";
import { errnoOf } from "../errno.js";

export interface Call<T> {
  /** For the log: `read /a/b`. */
  readonly label: string;
  readonly work: (signal: AbortSignal) => Promise<T> | T;
  /** Turns the result into an answer: run at once before it, and not at all when the call was answered already. */
  readonly succeed: (value: T) => void;
  /** @param errno positive */
  readonly fail: (errno: number) => void;
  /** Gives back a result that came after the call had been answered. */
  readonly discard?: (value: T) => void;
}

export interface Calls {
  start<T>(call: Call<T>): void;
  /** Aborts what is under way and answers it with EIO at once. Later calls are served. */
  abortAll(): void;
  readonly pending: number;
}

export function createCalls({ log }: { readonly log: Logger }): Calls {
  const pending = new Set<(error: unknown) => void>();
  let controller = createController();

  return {
    start<T>(call: Call<T>) {
      const settle = (answer: () => void): void => {
        if (!pending.delete(fail)) return;
        answer();
      };
      const fail = (error: unknown): void => {
        settle(() => {
          const { errno, known } = errnoOf(error);
          const report = known ? log.debug : log.error;
          report(`${call.label}: ${errorMessage(error)}`);
          call.fail(errno);
        });
      };
      const succeed = (value: T): void => {
        if (!pending.has(fail)) {
          call.discard?.(value);
          return;
        }
        try {
          call.succeed(value);
          pending.delete(fail);
        } catch (error) {
          fail(error);
        }
      };
      pending.add(fail);
      try {
        const result = call.work(controller.signal);
        if (result instanceof Promise) result.then(succeed, fail);
        else succeed(result);
      } catch (error) {
        fail(error);
      }
    },
    abortAll() {
      const reason = new PsyncError("ERR_PSYNC_MOUNT", "the file system is being unmounted");
      const old = controller;
      controller = createController();
      old.abort(reason);
      for (const fail of [...pending]) fail(reason);
    },
    get pending() {
      return pending.size;
    },
  };
}

/** One for all calls, since they are only ever aborted together: a controller for each would cost more than a small read. */
function createController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

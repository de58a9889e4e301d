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
  /** Whether it may wait long for its data. */
  readonly waitsForData?: true;
  /** Gives back a result that came after the call had been answered. */
  readonly discard?: (value: T) => void;
}

export interface Calls {
  start<T>(call: Call<T>): void;
  /** Aborts what is under way and answers it with EIO at once. Later calls are served. */
  abortAll(): void;
  /**
   * Aborts, and from now on refuses calls that would wait for data: the kernel asks again for a read that failed, and
   * that second call would be as long.
   */
  stopServing(): void;
  readonly pending: number;
}

export function createCalls({ log }: { readonly log: Logger }): Calls {
  const pending = new Set<(error: unknown) => void>();
  let controller = createController();
  let refusing = false;

  const abortAll = (): void => {
    const reason = unmounting();
    const old = controller;
    controller = createController();
    old.abort(reason);
    for (const fail of [...pending]) fail(reason);
  };

  return {
    start<T>(call: Call<T>) {
      const settle = (answer: () => void): void => {
        if (!pending.delete(fail)) return;
        answer();
      };
      const fail = (error: unknown): void => {
        settle(() => {
          const { errno, known } = errnoOf(error);
          const line = `${call.label}: ${errorMessage(error)}`;
          if (known) log.debug(line);
          else log.error(line);
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
      if (refusing && call.waitsForData === true) {
        fail(unmounting());
        return;
      }
      try {
        const result = call.work(controller.signal);
        if (result instanceof Promise) result.then(succeed, fail);
        else succeed(result);
      } catch (error) {
        fail(error);
      }
    },
    abortAll,
    stopServing() {
      refusing = true;
      abortAll();
    },
    get pending() {
      return pending.size;
    },
  };
}

function unmounting(): PsyncError {
  return new PsyncError("ERR_PSYNC_MOUNT", "the file system is being unmounted");
}

/** One for all calls, since they are only ever aborted together: a controller for each would cost more than a small read. */
function createController(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/**
 * Waiters in the order they are served: first those that somebody waits for, then what is done ahead,
 * each kind in the order it came. What they wait for is theirs to say; one that gives up leaves.
 */
import { abortReason } from "./abort.js";
import { WAITED_FOR, type Urgency } from "./urgency.js";

/** What came of a waiter's turn. `next`: those behind it may try; `hold`: nobody may pass it. */
export type Turn<T> =
  | { readonly type: "served"; readonly value: T }
  | { readonly type: "next" }
  | { readonly type: "hold" };

export interface WaitOptions {
  readonly signal: AbortSignal;
  /** WAITED_FOR unless said otherwise. A waiter that is promoted goes before all that are done ahead. */
  readonly urgency?: Urgency | undefined;
}

export interface WaitQueue {
  /**
   * Waits for its turn to serve it. The turn is tried at once, after those before it, and at each `wake`.
   *
   * @throws the signal's reason; what the turn throws
   */
  wait<T>(turn: () => Turn<T>, options: WaitOptions): Promise<T>;
  /** Lets everybody try, in order: something was given back. */
  readonly wake: () => void;
}

interface Waiter {
  readonly urgency: Urgency;
  /** Whether it is served now, or nobody may pass it. */
  readonly tryNow: () => "served" | "next" | "hold";
}

export function createWaitQueue(): WaitQueue {
  const waiters = new Set<Waiter>();

  const wake = (): void => {
    for (const isWaitedFor of [true, false]) {
      for (const waiter of waiters) {
        if (waiter.urgency.isWaitedFor !== isWaitedFor) continue;
        const outcome = waiter.tryNow();
        if (outcome === "hold") return;
        if (outcome === "served") waiters.delete(waiter);
      }
    }
  };

  const wait = <T>(turn: () => Turn<T>, options: WaitOptions): Promise<T> =>
    new Promise((resolve, reject) => {
      const { signal, urgency = WAITED_FOR } = options;
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      const leave = (): void => {
        signal.removeEventListener("abort", onAbort);
        stopListening();
      };
      const onAbort = (): void => {
        waiters.delete(waiter);
        leave();
        reject(abortReason(signal));
        // It may have held others back.
        wake();
      };
      const waiter: Waiter = {
        urgency,
        tryNow: () => {
          try {
            const taken = turn();
            if (taken.type !== "served") return taken.type;
            resolve(taken.value);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
          leave();
          return "served";
        },
      };
      const stopListening = urgency.onPromoted(wake);
      signal.addEventListener("abort", onAbort, { once: true });
      waiters.add(waiter);
      wake();
    });

  return { wait, wake };
}

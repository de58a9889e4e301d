/**
 * Waiting that ends: deadlines, pauses and promises bound to an AbortSignal.
 * Every listener is removed when the wait is over, so that long-lived signals do not collect them.
 */
import type { Clock } from "./clock.js";

/** What an aborted signal was aborted with, always an Error. */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error("aborted", { cause: reason });
}

/**
 * The promise, or the signal's reason as soon as it is aborted.
 * The work behind the promise is not stopped: give it the signal too.
 */
export function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => {
      reject(abortReason(signal));
    };
    if (signal.aborted) {
      onAbort();
      // What comes of it is of no use any more, and must not be an unhandled rejection.
      promise.catch(() => undefined);
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", onAbort);
    });
  });
}

/** Items as they come, or the signal's reason as soon as it is aborted, also while one is waited for. */
export async function* abortable<T>(
  items: AsyncIterable<T>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await orAbort(iterator.next(), signal);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not waited for: a stream that gives nothing may not end either.
    void iterator.return?.().catch(() => undefined);
  }
}

/** Waits; rejects with the signal's reason when it is aborted before. */
export async function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  let cancel: (() => void) | undefined;
  const waited = new Promise<void>((resolve) => {
    cancel = clock.after(delayMs, resolve);
  });
  try {
    await orAbort(waited, signal);
  } finally {
    cancel?.();
  }
}

export interface DeadlineOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Ends the work earlier, with its own reason. */
  readonly signal?: AbortSignal | undefined;
  /** Makes the error of a passed deadline. */
  readonly onDeadline: () => Error;
}

/**
 * Runs work that gets a signal, and settles by the deadline whether or not the work heeds it.
 *
 * @throws what the work throws, what `onDeadline` makes, or the outer signal's reason
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, timeoutMs, signal: outer, onDeadline } = options;
  const controller = new AbortController();
  const onOuterAbort = (): void => {
    if (outer) controller.abort(abortReason(outer));
  };
  if (outer?.aborted === true) onOuterAbort();
  outer?.addEventListener("abort", onOuterAbort, { once: true });
  const cancel = clock.after(timeoutMs, () => {
    controller.abort(onDeadline());
  });
  try {
    controller.signal.throwIfAborted();
    return await orAbort(work(controller.signal), controller.signal);
  } finally {
    cancel();
    outer?.removeEventListener("abort", onOuterAbort);
  }
}

/** Simulated time: a clock whose events wait in a binary heap, and the loop that runs them. It knows nothing of servers. */
import type { Clock } from "../../../src/core/clock.js";

export interface EventClock extends Clock {
  /** Moves the time to the next event and runs it; false where none is due by `endMs`. */
  runNext(endMs: number): boolean;
  /** Events that were neither run nor taken back. */
  pendingCount(): number;
}

interface Event {
  readonly atMs: number;
  /** Of two events at one time, the one that was asked for first goes first. */
  readonly order: number;
  callback: (() => void) | undefined;
}

export function createEventClock(): EventClock {
  const heap: Event[] = [];
  let nowMs = 0;
  let lastOrder = 0;
  let pendingCount = 0;
  return {
    nowMs: () => nowMs,
    after(delayMs, callback) {
      lastOrder += 1;
      const event: Event = { atMs: nowMs + Math.max(0, delayMs), order: lastOrder, callback };
      push(heap, event);
      pendingCount += 1;
      return () => {
        if (!event.callback) return;
        // It stays in the heap until its time comes: to find it there would cost more.
        event.callback = undefined;
        pendingCount -= 1;
      };
    },
    runNext(endMs) {
      for (;;) {
        const next = heap[0];
        if (!next || (next.callback && next.atMs > endMs)) return false;
        pop(heap);
        const { callback } = next;
        if (!callback) continue;
        next.callback = undefined;
        pendingCount -= 1;
        nowMs = next.atMs;
        callback();
        return true;
      }
    },
    pendingCount: () => pendingCount,
  };
}

/** `idle`: nothing will ever happen again, and it is not done. `late`: the time was up before. */
export type DriveEnd = "done" | "idle" | "late";

/** Runs one event after the other, each to the end of all promises that follow from it. */
export async function drive(
  clock: EventClock,
  until: { readonly isDone: () => boolean; readonly endMs: number },
): Promise<DriveEnd> {
  for (;;) {
    await promisesSettle();
    if (until.isDone()) return "done";
    if (!clock.runNext(until.endMs)) return clock.pendingCount() === 0 ? "idle" : "late";
  }
}

/**
 * Nothing here waits for the machine, so that all promises that can settle do so before the next turn of Node's loop.
 * A turn for each event, and not for all of them, lets Node see a rejection that nobody handles.
 */
export function promisesSettle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function push(heap: Event[], event: Event): void {
  let at = heap.length;
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (!parent || !isBefore(event, parent)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = event;
}

/** Takes the first event away. */
function pop(heap: Event[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    let child = heap[below];
    const right = heap[below + 1];
    if (child && right && isBefore(right, child)) {
      below += 1;
      child = right;
    }
    if (!child || !isBefore(child, last)) break;
    heap[at] = child;
    at = below;
  }
  heap[at] = last;
}

/** A source that knows whether somebody waits for it: so that work which can wait keeps out of the way. */
import type { BlockSource } from "../block/ports.js";
import type { Clock } from "../core/clock.js";

export interface WatchedSource extends BlockSource {
  /** Requests under way that were asked for because somebody waits; read-ahead is not counted. */
  readonly waitingCount: number;
  /** When the last of them ended, by the clock. */
  readonly lastEndedMs: number;
}

export function watchReaders(source: BlockSource, clock: Clock): WatchedSource {
  let waitingCount = 0;
  let lastEndedMs = Number.NEGATIVE_INFINITY;
  return {
    get waitingCount() {
      return waitingCount;
    },
    get lastEndedMs() {
      return lastEndedMs;
    },
    async fetch(request) {
      // What is promoted later is asked for again by the reader who needs it.
      if (request.urgency?.isWaitedFor === false) return source.fetch(request);
      waitingCount += 1;
      try {
        return await source.fetch(request);
      } finally {
        waitingCount -= 1;
        lastEndedMs = clock.nowMs();
      }
    },
  };
}

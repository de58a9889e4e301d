/**
 * How much is worth having on its way over the line to the servers, by what came over it lately: like BBR, twice
 * the shortest time of a block times the highest rate. When blocks are slow only because many wait for one another,
 * neither grows. The rule is from "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016.
 */
import type { Clock } from "../core/clock.js";
import { LIMITS } from "../core/limits.js";

export interface Line {
  /** Notes that a block is asked for. The function it returns notes the end: how many bytes came, 0 for none. */
  asked(): (cameBytes: number) => void;
  /** 0 while nothing is known, and where what is asked for is near. */
  worthwhileBytes(): number;
}

const { nearMs, blockTimeMemoryMs, rateMemoryMs } = LIMITS.readAhead;

export function createLine(clock: Clock): Line {
  const shortestMs = createRecent(clock, { memoryMs: blockTimeMemoryMs, best: Math.min });
  const bytesPerMs = createRecent(clock, { memoryMs: rateMemoryMs, best: Math.max });
  let underWayCount = 0;
  let allBytes = 0;
  let lastCameMs = 0;

  return {
    asked() {
      const askedMs = clock.nowMs();
      const bytesBefore = allBytes;
      // From the block before, else many that come together after a long way would look like a fast line.
      const sinceMs = underWayCount > 0 ? lastCameMs : askedMs;
      if (underWayCount === 0) lastCameMs = askedMs;
      underWayCount += 1;
      return (cameBytes) => {
        underWayCount -= 1;
        const cameMs = clock.nowMs();
        // It came from memory, the store, or a server next to us: that says nothing about a long line.
        if (cameBytes === 0 || cameMs - askedMs < nearMs) return;
        allBytes += cameBytes;
        lastCameMs = cameMs;
        shortestMs.note(cameMs - askedMs);
        bytesPerMs.note((allBytes - bytesBefore) / (cameMs - sinceMs));
      };
    },
    worthwhileBytes: () => 2 * (shortestMs.value() ?? 0) * (bytesPerMs.value() ?? 0),
  };
}

/** The best of what was noted lately: within one to two times the memory. */
function createRecent(
  clock: Clock,
  options: {
    readonly memoryMs: number;
    readonly best: (one: number, other: number) => number;
  },
) {
  const { memoryMs, best } = options;
  let older: number | undefined;
  let newer: number | undefined;
  let turnMs = -Infinity;

  const forget = (): void => {
    const nowMs = clock.nowMs();
    if (nowMs < turnMs) return;
    older = nowMs < turnMs + memoryMs ? newer : undefined;
    newer = undefined;
    turnMs = nowMs + memoryMs;
  };

  return {
    note(value: number): void {
      forget();
      newer = newer === undefined ? value : best(newer, value);
    },
    value(): number | undefined {
      forget();
      if (older === undefined || newer === undefined) return older ?? newer;
      return best(older, newer);
    },
  };
}

/**
 * How many bytes may come in a time, as a bucket of tokens that fills at the rate. Bytes have come before anybody can
 * say how many, so they are paid for afterwards, and whoever has not paid yet takes no more. One limiter is shared by
 * all that it limits.
 */
import type { Clock } from "./clock.js";
import { LIMITS, type LimitsOf } from "./limits.js";
import { createAhead, WAITED_FOR, type Urgency } from "./urgency.js";
import { createWaitQueue, type WaitOptions } from "./waitQueue.js";

export interface RateLimiter {
  /**
   * Pays for bytes that have come. What somebody waits for is served first, then what was fetched ahead, each in the
   * order it came; what was held back for long goes first of all. Over any time, at most the rate times that time, the
   * burst and one payment are served.
   *
   * @returns undefined where they are paid; else what resolves once they are
   * @throws the signal's reason, later; they count all the same
   */
  pay(sizeBytes: number, waiting: WaitOptions): Promise<void> | undefined;
}

export function createRateLimiter(options: {
  readonly bytesPerSecond: number;
  readonly clock: Clock;
  readonly limits?: Partial<LimitsOf<"rate">>;
}): RateLimiter {
  const { bytesPerSecond, clock } = options;
  const { burstMs, maxHoldMs } = { ...LIMITS.rate, ...options.limits };
  const burstBytes = (bytesPerSecond * burstMs) / 1000;
  const queue = createWaitQueue();
  /** Below 0: owed. */
  let tokenBytes = burstBytes;
  let countedMs = clock.nowMs();
  let waiterCount = 0;
  let cancelWake: (() => void) | undefined;

  const fill = (): void => {
    const nowMs = clock.nowMs();
    tokenBytes = Math.min(burstBytes, tokenBytes + ((nowMs - countedMs) * bytesPerSecond) / 1000);
    countedMs = nowMs;
  };

  /** Comes back when something can be paid. A timer that fires too early comes back once more. */
  const setWake = (): void => {
    if (cancelWake) return;
    cancelWake = clock.after(Math.max(1, Math.ceil((-tokenBytes * 1000) / bytesPerSecond)), () => {
      cancelWake = undefined;
      queue.wake();
    });
  };

  const pay: RateLimiter["pay"] = (sizeBytes, { signal, urgency = WAITED_FOR }) => {
    fill();
    if (waiterCount === 0 && tokenBytes > 0) {
      tokenBytes -= sizeBytes;
      return undefined;
    }
    const turn = createHeldUrgency({ urgency, clock, maxHoldMs });
    const served = queue.wait(
      () => {
        fill();
        if (tokenBytes <= 0) {
          setWake();
          return { type: "hold" };
        }
        tokenBytes -= sizeBytes;
        return { type: "served", value: undefined };
      },
      { signal, urgency: turn.urgency },
    );
    waiterCount += 1;
    return served
      .catch((error: unknown) => {
        tokenBytes -= sizeBytes;
        throw error;
      })
      .finally(() => {
        turn.end();
        waiterCount -= 1;
        if (waiterCount > 0) return;
        // A timer that nobody waits for would keep the process alive.
        cancelWake?.();
        cancelWake = undefined;
      });
  };

  return { pay };
}

/** An urgency that turns also when it was held back for long. */
function createHeldUrgency(options: {
  readonly urgency: Urgency;
  readonly clock: Clock;
  readonly maxHoldMs: number;
}): { readonly urgency: Urgency; end(): void } {
  const { urgency, clock, maxHoldMs } = options;
  if (urgency.isWaitedFor) return { urgency, end: () => undefined };
  const held = createAhead();
  const stopListening = urgency.onPromoted(() => {
    held.promote();
  });
  const cancelTimer = clock.after(maxHoldMs, () => {
    held.promote();
  });
  return {
    urgency: held,
    end() {
      stopListening();
      cancelTimer();
    },
  };
}

/** Whether a body comes too slowly: looks once a window at what came in it. It says so, and ends nothing. */
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";

export interface SpeedWatch {
  /** Stops the window while we take nothing ourselves: that time is not the server's. */
  hold(): void;
  /** Lets the window go on. */
  goOn(): void;
  end(): void;
}

export function createSpeedWatch(options: {
  readonly clock: Clock;
  readonly limits: LimitsOf<"fetch">;
  readonly receivedBytes: () => number;
  /** Called once: less than the limit came in a window. */
  readonly onSlow: (windowBytes: number) => void;
}): SpeedWatch {
  const { clock, limits, receivedBytes, onSlow } = options;
  const { slowWindowMs, slowBytesPerSecond } = limits;
  let beforeBytes = receivedBytes();
  let restMs = slowWindowMs;
  let startedMs = 0;
  let cancelTimer: (() => void) | undefined;

  const end = (): void => {
    cancelTimer?.();
    cancelTimer = undefined;
  };
  const goOn = (): void => {
    startedMs = clock.nowMs();
    cancelTimer = clock.after(restMs, () => {
      const windowBytes = receivedBytes() - beforeBytes;
      if (windowBytes * 1000 < slowBytesPerSecond * slowWindowMs) {
        onSlow(windowBytes);
        return;
      }
      beforeBytes = receivedBytes();
      restMs = slowWindowMs;
      goOn();
    });
  };
  goOn();
  return {
    hold() {
      restMs = Math.max(0, restMs - (clock.nowMs() - startedMs));
      end();
    },
    goOn,
    end,
  };
}

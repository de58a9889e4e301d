/** Wakes the one who waits: at a time, or when something happens, whichever is first. */
import type { Clock } from "./clock.js";

export interface Bell {
  readonly ring: () => void;
  /** Waits until it rings, or until this time; Infinity: until it rings. One that rang unheard counts. */
  wait(untilMs: number): Promise<void>;
}

export function createBell(clock: Clock): Bell {
  let hasRung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      hasRung = true;
      wake?.();
    },
    async wait(untilMs) {
      if (!hasRung) {
        const delayMs = untilMs - clock.nowMs();
        await new Promise<void>((resolve) => {
          const cancel =
            delayMs < Infinity ? clock.after(Math.max(0, delayMs), resolve) : () => undefined;
          wake = () => {
            cancel();
            resolve();
          };
        });
        wake = undefined;
      }
      hasRung = false;
    },
  };
}

/** Waits for a condition, so that tests do not wait for time. */
import { setTimeout as sleep } from "node:timers/promises";

/** @throws after `timeoutMs` the condition still does not hold */
export async function until(
  what: string,
  condition: () => boolean,
  timeoutMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not in ${timeoutMs} ms: ${what}`);
    await sleep(5);
  }
}

/** Holds up whoever waits for `passed`, until it is opened. */
export function createGate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return {
    passed,
    open: () => {
      open();
    },
  };
}

/** Waits for a condition that has to be asked for. */
export async function untilAsync(
  condition: () => Promise<boolean>,
  timeoutMs = 15_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms`);
    await sleep(20);
  }
}

/** Waits for a condition, so that tests do not wait for time. */
import { setTimeout as sleep } from "node:timers/promises";

/**
 * @param what said when it does not come true
 * @throws Error after `timeoutMs` the condition still does not hold
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await condition())) {
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

/** What a test cleans up, the last thing first, however it ends: a mount is gone before its folder is removed. */
import type { TestContext } from "node:test";

export type CleanUpContext = Pick<TestContext, "after">;

const pending = new WeakMap<CleanUpContext, (() => unknown)[]>();

/** Runs work when the test ends, before everything that was registered earlier. A failure of it fails the test. */
export function cleanUp(context: CleanUpContext, work: () => unknown): void {
  const known = pending.get(context);
  if (known) {
    known.push(work);
    return;
  }
  const stack = [work];
  pending.set(context, stack);
  context.after(async () => {
    const errors: unknown[] = [];
    for (let next = stack.pop(); next; next = stack.pop()) {
      try {
        await next();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, "not everything was cleaned up");
  });
}

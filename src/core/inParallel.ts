/** Work on many items, a few at a time. */

/**
 * Runs the work for every item. After a failure no further one is started, and what runs is waited for:
 * when the call returns, nothing of it goes on behind the caller's back.
 *
 * @param limit integer ≥ 1, how many run at once
 * @throws what the first failed work threw
 */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const rest = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    while (failures.length === 0) {
      const next = rest.next();
      if (next.done === true) return;
      try {
        await work(next.value);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  if (failures.length > 0) throw failures[0];
}

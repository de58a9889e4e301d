/** Keys that are remembered for a time and up to a count. The time is passed in; nothing runs by itself. */

export interface ExpiringSet {
  /** Remembers a key from now on, anew where it is there already. */
  add(key: string, nowMs: number): void;
  delete(key: string): void;
  /** Milliseconds the key is still remembered; 0 where it is not. */
  remainingMs(key: string, nowMs: number): number;
}

/** @param options.memoryMs how long a key is remembered; @param options.maxCount the oldest go first */
export function createExpiringSet(options: {
  readonly memoryMs: number;
  readonly maxCount: number;
}): ExpiringSet {
  const { memoryMs, maxCount } = options;
  // Every key lives equally long, so the order of insertion is the order of expiry.
  const expiryMsOf = new Map<string, number>();

  const dropOldest = (nowMs: number): void => {
    for (const [key, expiryMs] of expiryMsOf) {
      if (expiryMs > nowMs && expiryMsOf.size <= maxCount) return;
      expiryMsOf.delete(key);
    }
  };

  return {
    add(key, nowMs) {
      expiryMsOf.delete(key);
      expiryMsOf.set(key, nowMs + memoryMs);
      dropOldest(nowMs);
    },
    delete(key) {
      expiryMsOf.delete(key);
    },
    remainingMs: (key, nowMs) => Math.max(0, (expiryMsOf.get(key) ?? nowMs) - nowMs),
  };
}

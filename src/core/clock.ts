/** The time, as an argument: tests put a simulated one in its place. */

export interface Clock {
  /** Milliseconds that never go backwards; the zero means nothing. */
  nowMs(): number;
  /** Calls back once after the delay, unless the returned function is called before. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The machine's own clock. A waiting callback keeps the process alive. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};

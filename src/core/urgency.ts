/**
 * Whether somebody waits for a piece of work, or it is done ahead of need. It turns at most once:
 * what was asked for ahead becomes urgent when a reader comes to need it, and stays so.
 */

export interface Urgency {
  readonly isWaitedFor: boolean;
  /** Calls back once, when it becomes urgent; never where it is so already. Returns what takes the callback away. */
  onPromoted(callback: () => void): () => void;
}

/** Of whatever a reader, a command or a client waits for: all that says nothing else. */
export const WAITED_FOR: Urgency = { isWaitedFor: true, onPromoted: () => () => undefined };

export interface PromotableUrgency extends Urgency {
  promote(): void;
}

/** Work that is done ahead, until somebody waits for it. */
export function createAhead(): PromotableUrgency {
  const callbacks = new Set<() => void>();
  let isWaitedFor = false;
  return {
    get isWaitedFor() {
      return isWaitedFor;
    },
    onPromoted(callback) {
      if (isWaitedFor) return () => undefined;
      callbacks.add(callback);
      return () => {
        callbacks.delete(callback);
      };
    },
    promote() {
      if (isWaitedFor) return;
      isWaitedFor = true;
      for (const callback of callbacks) callback();
      callbacks.clear();
    },
  };
}

/**
 * What work ends with that was given up because nobody waited for it: it asked only those who answer at once. It says
 * nothing to somebody who came to wait in that moment: he asks anew.
 */
export class GivenUpAhead extends Error {
  constructor(cause: unknown) {
    super("given up: nobody waited for it", { cause });
    this.name = "GivenUpAhead";
  }
}

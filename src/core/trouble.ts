/**
 * Trouble that lasts, said in the log when it begins, once in a while as long as it goes on, and when it is over:
 * not a line for each block that it concerns.
 */
import { formatCount } from "./bytes.js";
import type { Clock } from "./clock.js";
import { isPsyncError, errorMessage } from "./errors.js";
import { LIMITS } from "./limits.js";
import type { Logger } from "./log.js";

export interface Trouble {
  /**
   * Notes a failure; the log has the first one, and one a minute with the number of those between.
   *
   * @param count of what is counted, as far as this failure concerns any; 1 unless said otherwise
   */
  readonly failed: (error: unknown, count?: number) => void;
  /** Notes a success; the log has the first one after what it has of failures. */
  readonly worked: () => void;
}

export interface TroubleOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** What failures mean, as in "nothing is cached". */
  readonly failing: string;
  /** What the first success means, as in "blocks are cached again". */
  readonly over: string;
  /** What each call is about, of one and of several. */
  readonly counted: readonly [one: string, several: string];
}

/** Cost: a comparison a call; however failures and successes alternate, at most two lines a minute. */
export function createTrouble(options: TroubleOptions): Trouble {
  const { clock, log, failing, over, counted } = options;
  let quietUntilMs = Number.NEGATIVE_INFINITY;
  let isTold = false;
  let untoldCount = 0;
  let totalCount = 0;
  return {
    failed(error, count = 1) {
      untoldCount += count;
      totalCount += count;
      if (clock.nowMs() < quietUntilMs) return;
      const untold = formatCount(untoldCount, ...counted);
      const since = untoldCount > 1 ? `; ${untold} since this was last said` : "";
      log.warn(`${failing}: ${explain(error)}${since}`);
      quietUntilMs = clock.nowMs() + LIMITS.log.troubleMs;
      isTold = true;
      untoldCount = 0;
    },
    worked() {
      if (!isTold) return;
      log.info(`${over}; ${formatCount(totalCount, ...counted)}`);
      isTold = false;
      totalCount = 0;
      untoldCount = 0;
    },
  };
}

function explain(error: unknown): string {
  const hint = isPsyncError(error) ? error.hint : undefined;
  return hint === undefined ? errorMessage(error) : `${errorMessage(error)} (${hint})`;
}

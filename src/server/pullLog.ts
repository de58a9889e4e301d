/** Says in the log why blocks could not be fetched for clients, in lines that no client can make many of. */
import type { BlockHash } from "../block/hash.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, isPsyncError } from "../core/errors.js";
import type { LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";

/** Explains a failed fetch: as a warning once a block in a while and of a bounded number of blocks, else for `-v`. */
export function createPullLog(context: {
  readonly log: Logger;
  readonly clock: Clock;
  readonly limits: LimitsOf<"server">;
}): (hash: BlockHash, error: unknown) => void {
  const { log, clock } = context;
  const { explainedPullMs, explainedPullCount } = context.limits;
  /** When a block may be explained again, the earliest first, since all wait equally long. */
  const silentUntilMs = new Map<BlockHash, number>();
  return (hash, error) => {
    const nowMs = clock.nowMs();
    for (const [silent, untilMs] of silentUntilMs) {
      if (untilMs > nowMs) break;
      silentUntilMs.delete(silent);
    }
    const details = isPsyncError(error) ? error.details : [];
    const line = [errorMessage(error), ...details].join("; ");
    // That nobody has a block is an answer, not a fault of somebody's.
    const isAnswer = isPsyncError(error, "ERR_PSYNC_BLOCK_NOT_FOUND");
    if (isAnswer || silentUntilMs.has(hash) || silentUntilMs.size >= explainedPullCount) {
      log.debug(line);
      return;
    }
    silentUntilMs.set(hash, nowMs + explainedPullMs);
    log.warn(line);
  };
}

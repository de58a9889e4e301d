/** The end of a command that writes to the store behind its readers. */
import { withDeadline } from "../core/abort.js";
import { systemClock } from "../core/clock.js";
import { errorMessage, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";

/** Closes what writes to the store. All readers are gone by now: a disk that hangs must not keep the process. */
export async function closeInTime(close: () => Promise<void>, log: Logger): Promise<void> {
  const timeoutMs = LIMITS.store.closeWaitMs;
  const onDeadline = (): PsyncError =>
    new PsyncError("ERR_PSYNC_STORE", `the store did not close within ${timeoutMs / 1000} s`);
  await withDeadline({ clock: systemClock, timeoutMs, onDeadline }, close).catch(
    (error: unknown) => {
      log.warn(`some blocks may not be cached: ${errorMessage(error)}`);
    },
  );
}

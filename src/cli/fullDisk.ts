/** What somebody is told whose disk is full in the middle of keeping blocks. */
import { isPsyncError, PsyncError, systemErrorCode } from "../core/errors.js";

const NO_ROOM: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "SQLITE_FULL"]);

/**
 * Runs work that keeps blocks; where the disk has no room for them, its error says that not all was in vain.
 *
 * @param also what helps besides, after a comma
 * @throws what the work throws
 */
export async function sayingWhatIsKept<T>(work: () => Promise<T>, also = ""): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isPsyncError(error, "ERR_PSYNC_STORE")) throw error;
    const { message, details, cause, hint = "" } = error;
    if (!NO_ROOM.has(systemErrorCode(cause) ?? "")) throw error;
    throw new PsyncError("ERR_PSYNC_STORE", message, {
      details,
      cause,
      hint: `${hint}${also}; what was finished is kept`,
    });
  }
}

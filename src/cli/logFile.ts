/** A daemon's log: lines with the time and the level, in a file of the store. */
import { appendFileSync, constants, openSync, renameSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { hash } from "node:crypto";
import { makeFolders } from "../core/atomicFile.js";
import { errorMessage, isPsyncError, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { foreignness } from "../core/ownership.js";
import { createLogger, oneLine, type Logger, type LogLevel } from "../core/log.js";

/** Where the daemon of a mountpoint logs: named after it, and different for two that share a name. */
export function daemonLogPath(storePath: string, mountpoint: string): string {
  const name = basename(mountpoint).replace(/[^A-Za-z0-9._-]/g, "_") || "root";
  return join(
    storePath,
    "log",
    `mount-${name}-${hash("sha256", mountpoint, "hex").slice(0, 8)}.log`,
  );
}

/** A symlink is not followed, as nothing in a store is. */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/**
 * Opens a log for appending, with the folder it lies in.
 *
 * @param path in the log folder of a store
 * @returns a file descriptor
 * @throws ERR_PSYNC_STORE it cannot be written, or the store is not this user's alone
 */
export async function openLogFile(path: string): Promise<number> {
  const folder = dirname(path);
  try {
    refuseForeign(path, dirname(folder));
    refuseForeign(path, folder);
    await makeFolders(folder, 0o700);
    return openSync(path, APPEND, 0o600);
  } catch (error) {
    if (isPsyncError(error)) throw error;
    const problem = `cannot write the log ${path}: ${errorMessage(error)}`;
    throw new PsyncError("ERR_PSYNC_STORE", problem, {
      hint: "mount without --daemon, or give a store that can be written with --store",
      cause: error,
    });
  }
}

/** Before anything is made in it; the store itself is looked at by who opens it. */
function refuseForeign(path: string, folder: string): void {
  const stats = statSync(folder, { throwIfNoEntry: false });
  const foreign = stats && foreignness(stats);
  if (foreign === undefined) return;
  throw new PsyncError(
    "ERR_PSYNC_STORE",
    `cannot write the log ${path}: ${folder} ${foreign.what}`,
    {
      hint: `if it is to be yours alone: ${foreign.mend} ${folder}; or give another store with --store`,
    },
  );
}

/**
 * A logger that appends to a file, which is moved aside as `NAME.1` when it is too large.
 * A line that cannot be written is lost; the daemon goes on.
 */
export function createFileLogger(path: string, lowest: LogLevel): Logger {
  let sizeBytes = 0;
  try {
    sizeBytes = statSync(path).size;
  } catch {
    // There is none yet.
  }
  return createLogger((level, message) => {
    const line = `${new Date().toISOString()} ${level} ${oneLine(message)}\n`;
    try {
      if (sizeBytes > LIMITS.log.maxFileBytes) {
        renameSync(path, `${path}.1`);
        sizeBytes = 0;
      }
      appendFileSync(path, line, { mode: 0o600 });
      sizeBytes += Buffer.byteLength(line);
    } catch {
      // A full disk must not take the mount down.
    }
  }, lowest);
}

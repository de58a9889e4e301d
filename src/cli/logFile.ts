/** A daemon's log: lines with the time and the level, in a file of the store. */
import { appendFileSync, mkdirSync, openSync, renameSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { hash } from "node:crypto";
import { errorMessage, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
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

/** Opens a log for appending, with the folder it lies in. @returns a file descriptor @throws ERR_PSYNC_STORE */
export function openLogFile(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    return openSync(path, "a", 0o600);
  } catch (error) {
    const problem = `cannot write the log ${path}: ${errorMessage(error)}`;
    throw new PsyncError("ERR_PSYNC_STORE", problem, {
      hint: "mount without --daemon, or give a store that can be written with --store",
      cause: error,
    });
  }
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

/**
 * A lock between processes that ends with its holder, however that one ends: the kernel keeps it (fcntl(2),
 * "Advisory record locking"). Node has no call for it; SQLite, which takes such locks on its files, has. The file
 * stays empty, since what is begun on it is always rolled back. It is also seen from another container.
 */
import { closeSync, openSync, truncateSync } from "node:fs";
import Database from "better-sqlite3";
import type { Clock } from "../core/clock.js";
import { systemErrorCode, type PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { FILE_MODE } from "./layout.js";
import { storeError } from "./storeError.js";

export interface FileLock {
  readonly path: string;
  /** @returns false where somebody has it, in this process or another @throws ERR_PSYNC_STORE */
  tryAcquire(): boolean;
  release(): void;
  /** Releases it too. */
  close(): void;
}

/**
 * Opens a lock, and makes its file where it is not there. Nobody may open that file otherwise: closing it would end
 * the locks that this process has on it.
 *
 * @throws ERR_PSYNC_STORE
 */
export function openFileLock(path: string): FileLock {
  let db: Database.Database;
  try {
    makeFile(path);
    db = new Database(path, { timeout: 0 });
  } catch (error) {
    throw storeError("lock", path, error);
  }
  let isPrepared = false;
  const begin = (): void => {
    // No journal file for what is rolled back anyhow. It reads the file, which the one who has the lock forbids.
    if (!isPrepared) db.pragma("journal_mode = MEMORY");
    isPrepared = true;
    db.exec("BEGIN EXCLUSIVE");
  };
  return {
    path,
    tryAcquire() {
      if (db.inTransaction) return false;
      try {
        beginOnEmpty(path, begin);
        return true;
      } catch (error) {
        if (systemErrorCode(error)?.startsWith("SQLITE_BUSY") === true) return false;
        throw storeError("lock", path, error);
      }
    },
    release() {
      if (db.inTransaction) db.exec("ROLLBACK");
    },
    close() {
      db.close();
    },
  };
}

/**
 * Takes a lock, waiting for whoever has it.
 *
 * @param wait.busy the error where it takes longer than the timeout
 */
export async function acquireLock(
  lock: FileLock,
  wait: { readonly clock: Clock; readonly timeoutMs: number; readonly busy: () => PsyncError },
): Promise<void> {
  const { clock, timeoutMs, busy } = wait;
  const startMs = clock.nowMs();
  while (!lock.tryAcquire()) {
    if (clock.nowMs() - startMs >= timeoutMs) throw busy();
    await new Promise<void>((resolve) => {
      clock.after(LIMITS.store.claimRetryMs, resolve);
    });
  }
}

function makeFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", FILE_MODE));
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
  }
}

function beginOnEmpty(path: string, begin: () => void): void {
  try {
    begin();
  } catch (error) {
    if (systemErrorCode(error) !== "SQLITE_NOTADB") throw error;
    // Only a disk puts anything into it.
    truncateSync(path);
    begin();
  }
}

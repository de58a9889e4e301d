/** A file that is there whole or not at all: written beside its place, synced, and renamed into it. */
import { randomBytes } from "node:crypto";
import { open, realpath, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PsyncError, systemErrorCode } from "./errors.js";

export interface AtomicFileOptions {
  /** Mode at creation, less the umask. A file that is replaced keeps its own where none is given. */
  readonly mode?: number;
  readonly times?: { readonly atime: Date; readonly mtime: Date };
}

/**
 * Writes a file through a temporary one in the same folder, which is removed when anything fails. A symlink is
 * followed: what it leads to is replaced.
 *
 * @throws ERR_PSYNC_USAGE something that is not a file is there: a device or a pipe would be lost
 * @throws what the system or `write` throws; then the file at `path` is as it was
 */
export async function writeAtomically(
  path: string,
  options: AtomicFileOptions,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const { path: target, mode: oldMode } = await existingFile(path);
  const folder = dirname(target);
  const temporary = temporaryPath(folder);
  const file = await open(temporary, "wx", options.mode ?? 0o666).catch((error: unknown) => {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    throw new PsyncError("ERR_PSYNC_FAILED", `there is no folder ${folder} for ${path}`, {
      hint: `make it: mkdir -p ${folder}`,
    });
  });
  try {
    try {
      await write(file);
      if (options.mode === undefined && oldMode !== undefined) await file.chmod(oldMode);
      if (options.times) await file.utimes(options.times.atime, options.times.mtime);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

/** A new name in a folder. Not made of another one: with a suffix that could be longer than a name may be. */
export function temporaryPath(folder: string): string {
  return join(folder, `.psync-${randomBytes(8).toString("hex")}.tmp`);
}

async function existingFile(path: string): Promise<{ path: string; mode?: number }> {
  const target = await realpath(path).catch(() => path);
  const stats = await stat(target).catch(() => undefined);
  if (stats === undefined) return { path: target };
  if (!stats.isFile()) {
    throw new PsyncError("ERR_PSYNC_USAGE", `${path} is there and is not an ordinary file`, {
      hint: "name a file; for a device or a pipe write to stdout: psync … > PATH",
    });
  }
  return { path: target, mode: stats.mode & 0o777 };
}

/** Makes the names in a folder durable: a rename is on the disk only after this (fsync(2), "Description"). */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

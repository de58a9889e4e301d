/** A file that is there whole or not at all: written beside its place, synced, and renamed into it. */
import { randomBytes } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface AtomicFileOptions {
  /** Mode at creation, less the umask. */
  readonly mode?: number;
  readonly times?: { readonly atime: Date; readonly mtime: Date };
}

/**
 * Writes a file through a temporary one in the same folder, which is removed when anything fails.
 *
 * @throws what the system or `write` throws; then the file at `path` is as it was
 */
export async function writeAtomically(
  path: string,
  options: AtomicFileOptions,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  // Not the file's own name: with the suffix it could be longer than a name may be.
  const temporary = join(folder, `.psync-${randomBytes(8).toString("hex")}.tmp`);
  const file = await open(temporary, "wx", options.mode ?? 0o666);
  try {
    try {
      await write(file);
      if (options.times) await file.utimes(options.times.atime, options.times.mtime);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
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

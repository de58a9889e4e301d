/** A file that is there whole or not at all: written beside its place, synced, and renamed into it. */
import { randomBytes } from "node:crypto";
import {
  lstat,
  mkdir,
  open,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  type FileHandle,
} from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { PsyncError, systemErrorCode } from "./errors.js";

export interface AtomicFileOptions {
  /** Mode at creation, less the umask. A file that is replaced keeps its own where none is given. */
  readonly mode?: number;
  readonly times?: { readonly atime: Date; readonly mtime: Date };
}

/**
 * Writes a file through a temporary one in the same folder, which is removed when anything fails. A symlink
 * at the path is replaced itself; what it leads to stays as it is.
 *
 * @throws ERR_PSYNC_USAGE something that is not a file is there: a device or a pipe would be lost
 * @throws what the system or `write` throws; then the file at `path` is as it was
 */
export async function writeAtomically(
  path: string,
  options: AtomicFileOptions,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const oldMode = await replaceableMode(path);
  const folder = dirname(path);
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
    await rename(temporary, path);
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

/**
 * Where a path leads when its symlinks are followed, also where nothing is there yet.
 *
 * @throws the system's error where they cannot be followed
 */
export async function followSymlinks(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
    const link = await readlink(path).catch(() => undefined);
    return link === undefined ? path : resolve(dirname(path), link);
  }
}

/** The mode of the file that is to be replaced, undefined where there is none. */
async function replaceableMode(path: string): Promise<number | undefined> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats === undefined || stats.isSymbolicLink()) return undefined;
  if (stats.isFile()) return stats.mode & 0o777;
  throw new PsyncError("ERR_PSYNC_USAGE", `${path} is there and is not an ordinary file`, {
    hint: "name a file; for a device or a pipe write to stdout: psync … > PATH",
  });
}

/**
 * Makes a folder and those above it. Node's own `recursive` says ENOENT where the disk is full (native-notes/node.md).
 *
 * @returns the first one that was made, undefined where it was there
 * @throws the system's error; EEXIST where something that is no folder is in the way
 */
export async function makeFolders(path: string, mode = 0o777): Promise<string | undefined> {
  const toMake = [path];
  let firstMade: string | undefined;
  let isGoingUp = true;
  for (let next = toMake.at(-1); next !== undefined; next = toMake.at(-1)) {
    try {
      await mkdir(next, { mode });
      firstMade ??= next;
    } catch (error) {
      const code = systemErrorCode(error);
      const parent = dirname(next);
      if (code === "ENOENT" && isGoingUp && parent !== next) {
        toMake.push(parent);
        continue;
      }
      const present = code === "EEXIST" ? await stat(next).catch(() => undefined) : undefined;
      if (present?.isDirectory() !== true) throw error;
    }
    isGoingUp = false;
    toMake.pop();
  }
  return firstMade;
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

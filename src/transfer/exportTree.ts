/** A folder → the tree of its hashlists: folders and symlinks as they are, a list for each file. */
import {
  lstat,
  lutimes,
  readdir,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  utimes,
} from "node:fs/promises";
import type { Dirent } from "node:fs";
import { dirname, join } from "node:path";
import { makeFolders, temporaryPath } from "../core/atomicFile.js";
import { errorMessage, isPsyncError, PsyncError } from "../core/errors.js";
import type { Logger } from "../core/log.js";
import { HASHLIST_SUFFIX } from "../hashlist/format.js";
import { exportToListFile, type ExportOptions } from "./exportFile.js";

export interface TreeExportOptions extends ExportOptions {
  readonly log: Logger;
  /** Folders that are not exported although they lie inside: the store. Absolute, without symlinks. */
  readonly excluded: readonly string[];
}

export interface TreeTotals {
  readonly fileCount: number;
  readonly symlinkCount: number;
  /** Sockets, pipes, devices, and folders that are not exported. */
  readonly skippedCount: number;
  readonly failedCount: number;
  readonly sizeBytes: number;
  readonly blockCount: number;
}

/** Totals of nothing, to be added to. */
export function createTreeTotals(): { -readonly [Key in keyof TreeTotals]: TreeTotals[Key] } {
  return {
    fileCount: 0,
    symlinkCount: 0,
    skippedCount: 0,
    failedCount: 0,
    sizeBytes: 0,
    blockCount: 0,
  };
}

/**
 * Exports all files below a folder. A file that fails is logged and counted, and the others go on.
 *
 * @param outPath the folder of the lists; made where it is missing
 * @throws ERR_PSYNC_STORE the store cannot take blocks, so that nothing further can work
 * @throws ERR_PSYNC_FAILED the folder or `outPath` is not to be used; the signal's reason
 */
export async function exportTree(
  folder: string,
  outPath: string,
  options: TreeExportOptions,
): Promise<TreeTotals> {
  await makeFolder(outPath);
  const excluded = new Set([...options.excluded, await realpath(outPath)]);
  if (excluded.has(await realpath(folder))) {
    throw new PsyncError(
      "ERR_PSYNC_USAGE",
      `${folder} is the folder that the lists or blocks go to`,
    );
  }
  const walk = new TreeExport(options, excluded);
  await walk.folder(folder, outPath);
  return walk.totals;
}

/** A folder of lists while it is being filled. */
interface OutFolder {
  readonly folder: string;
  /** Paths in it that this run has made. */
  readonly made: Set<string>;
}

function claim({ made }: OutFolder, to: string, from: string): void {
  if (made.has(to)) {
    const problem = `${from} would become ${to}, as another file did; it is not exported`;
    throw new PsyncError("ERR_PSYNC_FAILED", problem, { hint: "rename one of the two" });
  }
  made.add(to);
}

class TreeExport {
  readonly totals = createTreeTotals();
  readonly #options: TreeExportOptions;
  readonly #excluded: ReadonlySet<string>;

  constructor(options: TreeExportOptions, excluded: ReadonlySet<string>) {
    this.#options = options;
    this.#excluded = excluded;
  }

  async folder(from: string, to: string): Promise<void> {
    const entries = await readdir(from, { withFileTypes: true }).catch((error: unknown) => {
      const problem = `cannot export ${from}: ${errorMessage(error)}`;
      throw new PsyncError("ERR_PSYNC_FAILED", problem, { cause: error });
    });
    // What this folder's entries became: two of them may not get one name.
    const made = new Set<string>();
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      this.#options.signal.throwIfAborted();
      try {
        await this.#entry(entry, join(from, entry.name), { folder: to, made });
      } catch (error) {
        this.#options.signal.throwIfAborted();
        if (isPsyncError(error, "ERR_PSYNC_STORE")) throw error;
        this.totals.failedCount += 1;
        this.#options.log.error(errorMessage(error));
      }
    }
    const { atime, mtime } = await stat(from);
    await utimes(to, atime, mtime);
  }

  async #entry(entry: Dirent, from: string, out: OutFolder): Promise<void> {
    if (entry.name.includes("\ufffd")) {
      const problem = `${from}: the name is not UTF-8, so it cannot be exported`;
      throw new PsyncError("ERR_PSYNC_FAILED", problem, { hint: "rename it" });
    }
    const to = join(out.folder, entry.name);
    if (entry.isDirectory()) {
      if (this.#excluded.has(await realpath(from))) {
        this.#skip(from, "holds psync's own lists or blocks");
        return;
      }
      await makeFolder(to);
      await this.folder(from, to);
    } else if (entry.isFile()) {
      claim(out, to + HASHLIST_SUFFIX, from);
      const totals = await exportToListFile(from, to + HASHLIST_SUFFIX, this.#options);
      this.totals.fileCount += 1;
      this.totals.sizeBytes += totals.sizeBytes;
      this.totals.blockCount += totals.blockCount;
    } else if (entry.isSymbolicLink()) {
      claim(out, to, from);
      await copySymlink(from, to);
      this.totals.symlinkCount += 1;
    } else {
      this.#skip(from, "is neither a file, a folder nor a symlink");
    }
  }

  #skip(path: string, why: string): void {
    this.totals.skippedCount += 1;
    this.#options.log.debug(`skipped: ${path} ${why}`);
  }
}

/** Makes a folder where there is none. @throws ERR_PSYNC_FAILED */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
  } catch (error) {
    throw new PsyncError(
      "ERR_PSYNC_FAILED",
      `cannot make the folder ${path}: ${errorMessage(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** Makes the same symlink; only another symlink is replaced, never a file of the user's. */
async function copySymlink(from: string, to: string): Promise<void> {
  const target = await readlink(from);
  const existing = await lstat(to).catch(() => undefined);
  if (existing && !existing.isSymbolicLink()) {
    const problem = `${to} is there and is not a symlink; ${from} is not exported`;
    throw new PsyncError("ERR_PSYNC_FAILED", problem);
  }
  const temporary = temporaryPath(dirname(to));
  await symlink(target, temporary);
  try {
    const { atime, mtime } = await lstat(from);
    await lutimes(temporary, atime, mtime);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

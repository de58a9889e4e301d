/**
 * The folder of hashlists as a tree of files: which name stands for what. It reads names and stats only
 * when asked, holds no tree in memory, and never looks into a list.
 */
import { lstat, readdir, readlink, stat } from "node:fs/promises";
import type { BigIntStats, Dirent } from "node:fs";
import { join, posix } from "node:path";
import { PsyncError, systemErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { HASHLIST_SUFFIX } from "../hashlist/format.js";
import type { EntryKind } from "./driver/port.js";

/** What a path of the mount stands for. */
export interface TreeEntry {
  readonly kind: EntryKind;
  /** The folder, the symlink or the hashlist on disk. */
  readonly sourcePath: string;
  readonly stats: BigIntStats;
}

export interface TreeName {
  readonly name: string;
  readonly kind: EntryKind;
}

export interface Tree {
  /**
   * @param path absolute inside the mount, `/` is the root
   * @throws ERR_PSYNC_NO_ENTRY, ERR_PSYNC_NOT_A_FOLDER, ERR_PSYNC_NAME_TOO_LONG; ERR_PSYNC_FAILED it cannot be read
   */
  find(path: string): Promise<TreeEntry>;
  /** The names in a folder. What is not shown is counted in the log, once a folder. */
  list(path: string): Promise<readonly TreeName[]>;
  readLink(path: string): Promise<string>;
}

const MAX_NAME_BYTES = 255;

/** The tree of a folder of lists: `a/b.iso.hashlist` is `/a/b.iso`. */
export function createFolderTree(parts: { readonly root: string; readonly log: Logger }): Tree {
  const { root, log } = parts;
  const countedFolders = new Set<string>();

  const find = async (path: string): Promise<TreeEntry> => {
    const sourcePath = join(root, path);
    if (path === "/") return { kind: "folder", sourcePath, stats: await rootStats(root) };
    if (Buffer.byteLength(posix.basename(path)) > MAX_NAME_BYTES) {
      throw new PsyncError("ERR_PSYNC_NAME_TOO_LONG", `a name of ${path} is too long`);
    }
    // A folder comes first, then a list, then a symlink: the same order as in `list`.
    const plain = await statOrNothing(sourcePath, lstat);
    if (plain?.isDirectory() === true) return { kind: "folder", sourcePath, stats: plain };
    const listPath = sourcePath + HASHLIST_SUFFIX;
    const list = await statOrNothing(listPath, stat);
    if (list?.isFile() === true) return { kind: "file", sourcePath: listPath, stats: list };
    if (plain?.isSymbolicLink() === true && !(await isList(sourcePath))) {
      return { kind: "symlink", sourcePath, stats: plain };
    }
    throw new PsyncError("ERR_PSYNC_NO_ENTRY", `there is no ${path}`);
  };

  return {
    find,
    async list(path) {
      const folder = join(root, path);
      const { names, hiddenCount, shadowed } = await readNames(folder);
      if (!countedFolders.has(path)) {
        countedFolders.add(path);
        if (hiddenCount > 0) {
          log.info(`${folder}: ${hiddenCount} names that are not hashlists are not shown`);
        }
        for (const name of shadowed) {
          log.warn(`${folder}: ${name} stands for two things; the folder or list wins`);
        }
      }
      return names;
    },
    async readLink(path) {
      const entry = await find(path);
      if (entry.kind !== "symlink") {
        throw new PsyncError("ERR_PSYNC_NOT_A_LINK", `${path} is not a symlink`);
      }
      return readlink(entry.sourcePath).catch((error: unknown) => fail(path, error));
    },
  };
}

/** The tree of one list: a folder with one file in it. */
export function createSingleListTree(listPath: string): Tree {
  const name = shownName(posix.basename(listPath)) ?? posix.basename(listPath);
  const find = async (path: string): Promise<TreeEntry> => {
    const sourcePath = listPath;
    if (path === "/") {
      const stats = await rootStats(posix.dirname(listPath));
      return { kind: "folder", sourcePath: posix.dirname(listPath), stats };
    }
    const stats = path === `/${name}` ? await statOrNothing(listPath, stat) : undefined;
    if (stats?.isFile() === true) return { kind: "file", sourcePath, stats };
    throw new PsyncError("ERR_PSYNC_NO_ENTRY", `there is no ${path}`);
  };
  return {
    find,
    list: () => Promise.resolve([{ name, kind: "file" }]),
    readLink: (path) =>
      Promise.reject(new PsyncError("ERR_PSYNC_NOT_A_LINK", `${path} is not a symlink`)),
  };
}

interface FolderNames {
  readonly names: readonly TreeName[];
  readonly hiddenCount: number;
  /** Names that more than one thing on disk would get. */
  readonly shadowed: readonly string[];
}

async function readNames(folder: string): Promise<FolderNames> {
  const dirents = await readdir(folder, { withFileTypes: true }).catch((error: unknown) =>
    fail(folder, error),
  );
  if (dirents.length > LIMITS.mount.maxFolderEntries) {
    throw new PsyncError("ERR_PSYNC_FAILED", `${folder} has ${dirents.length} names, too many`);
  }
  const byKind: Record<EntryKind, string[]> = { folder: [], file: [], symlink: [] };
  let hiddenCount = 0;
  for (const dirent of dirents) {
    const shown = await shownEntry(folder, dirent);
    if (shown) byKind[shown.kind].push(shown.name);
    else hiddenCount += 1;
  }
  const names = new Map<string, TreeName>();
  const shadowed: string[] = [];
  for (const kind of ["folder", "file", "symlink"] as const) {
    for (const name of byKind[kind]) {
      if (names.has(name)) shadowed.push(name);
      else names.set(name, { name, kind });
    }
  }
  return { names: [...names.values()], hiddenCount, shadowed };
}

async function shownEntry(folder: string, dirent: Dirent): Promise<TreeName | undefined> {
  const { name } = dirent;
  // Bytes that are not UTF-8 came out as U+FFFD; such a path could not be found again.
  if (name.includes("\ufffd")) return undefined;
  if (dirent.isDirectory()) return { name, kind: "folder" };
  const listName = shownName(name);
  if (dirent.isFile()) return listName === undefined ? undefined : { name: listName, kind: "file" };
  if (!dirent.isSymbolicLink()) return undefined;
  if (listName !== undefined && (await isList(join(folder, name)))) {
    return { name: listName, kind: "file" };
  }
  return { name, kind: "symlink" };
}

/** A symlink to a list, named like a list, stands for the file; any other symlink is a symlink. */
async function isList(path: string): Promise<boolean> {
  if (!path.endsWith(HASHLIST_SUFFIX)) return false;
  return (await statOrNothing(path, stat))?.isFile() === true;
}

/** `b.iso` for `b.iso.hashlist`, or undefined where a name is not a list's. */
function shownName(listName: string): string | undefined {
  if (!listName.endsWith(HASHLIST_SUFFIX)) return undefined;
  return listName.slice(0, -HASHLIST_SUFFIX.length) || undefined;
}

async function rootStats(root: string): Promise<BigIntStats> {
  return stat(root, { bigint: true }).catch((error: unknown) => fail(root, error));
}

type Stat = (path: string, options: { bigint: true }) => Promise<BigIntStats>;

async function statOrNothing(path: string, how: Stat): Promise<BigIntStats | undefined> {
  try {
    return await how(path, { bigint: true });
  } catch (error) {
    const code = systemErrorCode(error);
    // A list's name may be too long where the shown name is not; a dangling or looping symlink is no list.
    if (code === "ENOENT" || code === "ENAMETOOLONG" || code === "ELOOP") return undefined;
    return fail(path, error);
  }
}

function fail(path: string, error: unknown): never {
  const code = systemErrorCode(error);
  const why = code ?? String(error);
  if (code === "ENOENT") throw new PsyncError("ERR_PSYNC_NO_ENTRY", `there is no ${path}`);
  if (code === "ENOTDIR") {
    throw new PsyncError("ERR_PSYNC_NOT_A_FOLDER", `${path} has a file where a folder belongs`);
  }
  throw new PsyncError("ERR_PSYNC_FAILED", `cannot read ${path}: ${why}`, { cause: error });
}

/** Lists by the paths that somebody names: files, and folders with all lists in them. */
import type { Stats } from "node:fs";
import { readdir, readlink, realpath, stat } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { orAbort } from "../core/abort.js";
import { errorMessage, isPsyncError, PsyncError, systemErrorCode } from "../core/errors.js";
import { HASHLIST_SUFFIX } from "./format.js";
import type { Hashlist } from "./hashlist.js";
import { readHashlist } from "./readHashlist.js";

export interface FoundList {
  readonly path: string;
  /** Absolute and without symlinks: the same by whichever path the list was found. Of a pipe, its path. */
  readonly realPath: string;
  readonly list: Hashlist;
  /** Of the list's own file: none where it was cut to nothing, while the list of an empty file has a trailer. */
  readonly listFileBytes: number;
}

export interface FindOptions {
  readonly signal: AbortSignal;
  /** Lists that are passed over, by their `realPath`. */
  readonly without?: ReadonlySet<string>;
}

/**
 * Reads the lists at paths, one after the other. A file is a list; of a folder it is every file whose name ends in
 * `.hashlist`, at any depth, by name. A symlink named so stands for the list that it leads to, as in a mount, and one to
 * a folder for all lists in it. Whoever removes what no list names must not miss one, so all of them are read or
 * it fails.
 *
 * @throws ERR_PSYNC_NO_ENTRY there is nothing at one of the paths
 * @throws ERR_PSYNC_BAD_HASHLIST one of them is not a list, or a list, folder or symlink cannot be read
 * @throws ERR_PSYNC_USAGE a folder has no list in it, as one where a disk is not mounted
 * @throws the signal's reason
 */
export async function* findLists(
  paths: readonly string[],
  { signal, without = new Set() }: FindOptions,
): AsyncGenerator<FoundList> {
  for (const path of paths) {
    let foundCount = 0;
    for await (const place of placesAt(path, signal)) {
      foundCount += 1;
      if (!without.has(place.realPath)) yield { ...place, ...(await readOne(place.path, signal)) };
    }
    if (foundCount === 0) {
      throw new PsyncError("ERR_PSYNC_USAGE", `there is no list in the folder ${path}`, {
        hint: `lists are named NAME${HASHLIST_SUFFIX}; leave the folder out if it is right that it has none`,
      });
    }
  }
}

/** A file or folder by the path it was found at. */
type Place = Pick<FoundList, "path" | "realPath">;

async function* placesAt(path: string, signal: AbortSignal): AsyncGenerator<Place> {
  const stats = await orAbort(stat(path), signal).catch((error: unknown) => {
    // A slip of the pen, which says nothing of lists that are needed.
    if (ABSENT.has(systemErrorCode(error) ?? "")) throw noEntry(path, error);
    return unreadable("hashlist", path, error);
  });
  if (stats.isDirectory()) {
    yield* walk({ path, realPath: await realPathOf(path) }, { walked: new Set(), signal });
  } else {
    // A pipe has no path of its own, and is read only once.
    yield { path, realPath: await realpath(path).catch(() => path) };
  }
}

const ABSENT: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR"]);
const NOT_A_FILE = new Error("it is not a file");

/** Folders are told apart by their paths: numbers of inodes are not unique everywhere, and not exact above 2^53. */
async function* walk(
  folder: Place,
  walking: { readonly walked: Set<string>; readonly signal: AbortSignal },
): AsyncGenerator<Place> {
  const { walked, signal } = walking;
  if (walked.has(folder.realPath)) return;
  walked.add(folder.realPath);
  const entries = await orAbort(readdir(folder.path, { withFileTypes: true }), signal).catch(
    (error: unknown) => unreadable("folder", folder.path, error),
  );
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder.path, entry.name);
    const isLink = entry.isSymbolicLink();
    const target = isLink ? await orAbort(follow(path), signal) : entry;
    if (!target) continue;
    const isNamedList = entry.name.endsWith(HASHLIST_SUFFIX);
    if (!target.isDirectory() && !isNamedList) continue;
    const place = {
      path,
      realPath: isLink ? await realPathOf(path) : join(folder.realPath, entry.name),
    };
    if (target.isDirectory()) {
      yield* walk(place, walking);
    } else {
      // A pipe would hold up whoever reads it.
      if (!target.isFile()) unreadable("hashlist", path, NOT_A_FILE);
      yield place;
    }
  }
}

/**
 * What a symlink leads to; undefined for one to a file that only a mount shows, as `export` leaves them.
 *
 * @throws ERR_PSYNC_BAD_HASHLIST it leads nowhere: there may be lists where nothing can be seen now
 */
async function follow(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT" && (await leadsToShownFile(path))) return undefined;
    throw new PsyncError(
      "ERR_PSYNC_BAD_HASHLIST",
      `cannot see where the symlink ${path} leads: ${errorMessage(error)}`,
      { hint: "mount the disk that it leads to, or remove the symlink", cause: error },
    );
  }
}

/** As many symlinks as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;

/** Whether a symlink leads, perhaps over others, to a path that has a list: `b.iso` where `b.iso.hashlist` is. */
async function leadsToShownFile(path: string): Promise<boolean> {
  let link = path;
  for (let count = 0; count < MAX_LINKS; count += 1) {
    const target = await readlink(link).catch(() => undefined);
    if (target === undefined) return false;
    // Not `join`: what is before a `..` may be a symlink too.
    link = isAbsolute(target) ? target : `${dirname(link)}/${target}`;
    const list = await stat(link + HASHLIST_SUFFIX).catch(() => undefined);
    if (list?.isFile() === true) return true;
  }
  return false;
}

async function realPathOf(path: string): Promise<string> {
  return realpath(path).catch((error: unknown) => unreadable("path", path, error));
}

async function readOne(
  path: string,
  signal: AbortSignal,
): Promise<Pick<FoundList, "list" | "listFileBytes">> {
  try {
    const { list, stats } = await orAbort(readHashlist(path), signal);
    return { list, listFileBytes: Number(stats.size) };
  } catch (error) {
    if (signal.aborted || isPsyncError(error, "ERR_PSYNC_BAD_HASHLIST")) throw error;
    return unreadable("hashlist", path, error);
  }
}

function noEntry(path: string, error: unknown): PsyncError {
  const problem = `cannot read the hashlist ${path}: ${errorMessage(error)}`;
  const hint = "see whether the path is right, and its disk mounted";
  return new PsyncError("ERR_PSYNC_NO_ENTRY", problem, { hint, cause: error });
}

function unreadable(what: string, path: string, error: unknown): never {
  if (isPsyncError(error, "ERR_PSYNC_INTERRUPTED")) throw error;
  const why = isPsyncError(error)
    ? error.message
    : `cannot read the ${what} ${path}: ${errorMessage(error)}`;
  throw new PsyncError("ERR_PSYNC_BAD_HASHLIST", why, {
    hint: "what it names is not known: mend it, move it away, or mount the disk where it should be",
    cause: error,
  });
}

/** Lists by the paths that somebody names: files, and folders with all lists in them. */
import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { orAbort } from "../core/abort.js";
import { errorMessage, isPsyncError, PsyncError } from "../core/errors.js";
import { HASHLIST_SUFFIX } from "./format.js";
import type { Hashlist } from "./hashlist.js";
import { readHashlist } from "./readHashlist.js";

export interface FoundList {
  readonly path: string;
  readonly list: Hashlist;
}

export interface FindOptions {
  readonly signal: AbortSignal;
  /** Lists that are passed over, as `fileId` names them. */
  readonly without?: ReadonlySet<string>;
}

/**
 * Reads the lists at paths, one after the other. A file is a list; of a folder it is every file whose name ends in
 * `.hashlist`, at any depth, by name. Symlinks are followed, each folder is walked once. Whoever removes what no list
 * names must not miss one, so all of them are read or it fails.
 *
 * @throws ERR_PSYNC_BAD_HASHLIST one of them is not a list, or a list or folder cannot be read
 * @throws ERR_PSYNC_USAGE a folder has no list in it, as one where a disk is not mounted
 * @throws the signal's reason
 */
export async function* findLists(
  paths: readonly string[],
  options: FindOptions,
): AsyncGenerator<FoundList> {
  const { signal, without = new Set() } = options;
  for (const path of paths) {
    const walked = new Set<string>();
    const found = { count: 0 };
    const stats = await look(path, signal);
    if (!stats.isDirectory()) {
      if (!without.has(idOf(stats))) yield await readOne(path, signal);
      continue;
    }
    for await (const listPath of walk(path, { walked, signal })) {
      found.count += 1;
      const id = without.size > 0 ? idOf(await look(listPath, signal)) : "";
      if (!without.has(id)) yield await readOne(listPath, signal);
    }
    if (found.count === 0) {
      throw new PsyncError("ERR_PSYNC_USAGE", `there is no list in the folder ${path}`, {
        hint: `lists are named NAME${HASHLIST_SUFFIX}; leave the folder out if it is right that it has none`,
      });
    }
  }
}

/** Names the file that a path leads to, whatever the path. @throws as `findLists` */
export async function fileId(path: string, signal: AbortSignal): Promise<string> {
  return idOf(await look(path, signal));
}

const NOT_A_FILE = new Error("it is not a file");

async function* walk(
  folder: string,
  walking: { readonly walked: Set<string>; readonly signal: AbortSignal },
): AsyncGenerator<string> {
  const { walked, signal } = walking;
  const id = await fileId(folder, signal);
  if (walked.has(id)) return;
  walked.add(id);
  const entries = await orAbort(readdir(folder, { withFileTypes: true }), signal).catch(
    (error: unknown) => unreadable("folder", folder, error),
  );
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const path = join(folder, entry.name);
    const isNamedList = entry.name.endsWith(HASHLIST_SUFFIX);
    if (entry.isDirectory()) {
      yield* walk(path, walking);
    } else if (entry.isSymbolicLink()) {
      const target = await stat(path).catch(() => undefined);
      if (target?.isDirectory() === true) {
        yield* walk(path, walking);
      } else if (isNamedList) {
        // One that leads nowhere is refused when it is read; a pipe would hold up whoever reads it.
        if (target && !target.isFile()) unreadable("hashlist", path, NOT_A_FILE);
        yield path;
      }
    } else if (isNamedList) {
      if (!entry.isFile()) unreadable("hashlist", path, NOT_A_FILE);
      yield path;
    }
  }
}

async function readOne(path: string, signal: AbortSignal): Promise<FoundList> {
  try {
    return { path, list: (await orAbort(readHashlist(path), signal)).list };
  } catch (error) {
    if (signal.aborted || isPsyncError(error, "ERR_PSYNC_BAD_HASHLIST")) throw error;
    return unreadable("hashlist", path, error);
  }
}

async function look(path: string, signal: AbortSignal): Promise<Stats> {
  signal.throwIfAborted();
  return stat(path).catch((error: unknown) => unreadable("hashlist", path, error));
}

function idOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}`;
}

function unreadable(what: string, path: string, error: unknown): never {
  if (isPsyncError(error, "ERR_PSYNC_INTERRUPTED")) throw error;
  const why = isPsyncError(error)
    ? error.message
    : `cannot read the ${what} ${path}: ${errorMessage(error)}`;
  throw new PsyncError("ERR_PSYNC_BAD_HASHLIST", why, {
    hint: "what this list names is not known",
    cause: error,
  });
}

/** The folders of a store: whether a path is one, and what is missing made. */
import { access, constants, lstat, mkdir, opendir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PsyncError, systemErrorCode } from "../core/errors.js";
import { FOLDER_MODE, STORE_FOLDERS, STORE_NAMES, type StoreLayout } from "./layout.js";
import { isAbsent, orStoreError, storeError } from "./storeError.js";
import { findForeignPart, refuseLinkedFolders } from "./ownStore.js";
import { makeFolders, syncFolder } from "../core/atomicFile.js";

/**
 * Makes the folders that are missing; those that are there keep their modes, since blocks/ may be handed
 * to a web server of another user.
 *
 * @throws ERR_PSYNC_STORE the path is no folder, holds something else, cannot be written, is somebody else's too, or
 *   is spread over several file systems
 * Cost: a handful of calls, whatever the store holds.
 */
export async function prepareFolders(layout: StoreLayout): Promise<void> {
  const firstMade = await orStoreError("make the store", layout.path, () =>
    makeFolders(layout.path, FOLDER_MODE),
  ).catch((error: unknown) => {
    // mkdir says EEXIST where a file is in the way.
    throw systemErrorCode(causeOf(error)) === "EEXIST" ? notAFolder(layout.path) : error;
  });
  await assertStore(layout);
  const foreign = await findForeignPart(layout);
  if (foreign) throw foreign;
  for (const name of STORE_FOLDERS) await makeFolder(join(layout.path, name));
  await assertOneFileSystem(layout);
  // A kept block is only as durable as the names of the folders above it.
  await orStoreError("sync", layout.path, () => syncFolder(layout.path));
  if (firstMade !== undefined) {
    for (let path = layout.path; path.startsWith(firstMade); path = dirname(path)) {
      const parent = dirname(path);
      await orStoreError("sync", parent, () => syncFolder(parent));
      if (parent === path) break;
    }
  }
}

/** Enough to see that a folder is somebody else's. */
const SHOWN_NAMES = 3;

/**
 * Looks at a store without changing it.
 *
 * @throws ERR_PSYNC_STORE the path is no folder, holds something else, or has a symlink in the place of a folder
 */
export async function assertStore(layout: StoreLayout): Promise<void> {
  const { path } = layout;
  const stats = await orStoreError("open the store", path, () => stat(path));
  if (!stats.isDirectory()) throw notAFolder(path);
  if (await hasStoreName(path)) {
    await refuseLinkedFolders(layout);
    return;
  }
  const names = await orStoreError("list", path, () => someNames(path));
  if (names.length === 0) return;
  // Another process may be making it right now, each name after it was asked for.
  if (await hasStoreName(path)) {
    await refuseLinkedFolders(layout);
    return;
  }
  throw new PsyncError("ERR_PSYNC_STORE", `${path} is not a store: it holds other files`, {
    hint: "give a folder that is empty or does not exist, or a store that psync made",
    details: names.map((name) => `there is ${JSON.stringify(name)}`),
  });
}

/** Asks for each name, since a list of names has no order: a store's could come after any number of others. */
export async function hasStoreName(folder: string): Promise<boolean> {
  for (const name of STORE_NAMES) {
    const path = join(folder, name);
    try {
      await lstat(path);
      return true;
    } catch (error) {
      if (!isAbsent(error)) throw storeError("look at", path, error);
    }
  }
  return false;
}

async function someNames(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of await opendir(path)) {
    names.push(name);
    if (names.length >= SHOWN_NAMES) break;
  }
  return names;
}

/** Whether there is anything at a path; in doubt there is, and whoever opens it learns what is wrong. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return !isAbsent(error);
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: FOLDER_MODE });
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw storeError("make", path, error);
    const stats = await orStoreError("look at", path, () => stat(path));
    if (!stats.isDirectory()) throw notAFolder(path);
    await orStoreError("write in", path, () =>
      access(path, constants.R_OK | constants.W_OK | constants.X_OK),
    );
  }
}

async function assertOneFileSystem(layout: StoreLayout): Promise<void> {
  const folders = [layout.tmp, layout.blocks, layout.cache, layout.quarantine];
  const devices = await Promise.all(
    folders.map((path) => orStoreError("look at", path, async () => (await stat(path)).dev)),
  );
  if (new Set(devices).size === 1) return;
  const other = folders[devices.findIndex((device) => device !== devices[0])] ?? layout.path;
  throw new PsyncError(
    "ERR_PSYNC_STORE",
    `${other} lies on another file system than ${layout.tmp}, so that nothing can be renamed into it`,
    { hint: "move the whole store, not single folders of it, to the other disk" },
  );
}

function notAFolder(path: string): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", `${path} is not a folder`, {
    hint: "move it away, or give another store with --store",
  });
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

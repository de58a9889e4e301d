/**
 * Whether a store may be written: only where it is this user's alone, and holds no folder that lies elsewhere.
 * Looks, and changes nothing.
 */
import type { Stats } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import { join } from "node:path";
import { PsyncError } from "../core/errors.js";
import { foreignness } from "../core/ownership.js";
import { STORE_FOLDERS, type StoreLayout } from "./layout.js";
import { isAbsent, storeError } from "./storeError.js";

/**
 * What stands against writing to a store: a part of it is somebody else's, or can be written by others.
 *
 * @returns undefined: nothing does, or nothing is there yet
 * @throws ERR_PSYNC_STORE it cannot be looked at
 * Cost: a stat each of the store, its folders and its index. Source: docs/semantics.md, STORE-5.
 */
export async function findForeignPart(layout: StoreLayout): Promise<PsyncError | undefined> {
  // The store's own path may be a symlink; what lies in it may not.
  const parts: readonly (readonly [string, (path: string) => Promise<Stats>])[] = [
    [layout.path, stat],
    ...STORE_FOLDERS.map((name) => [join(layout.path, name), lstat] as const),
    [layout.index, lstat],
  ];
  for (const [path, look] of parts) {
    const stats = await orNothing(path, look);
    // The index as a symlink is set aside like a damaged one; its own mode says nothing.
    const foreign = stats && !stats.isSymbolicLink() ? foreignness(stats) : undefined;
    if (foreign === undefined) continue;
    return new PsyncError(
      "ERR_PSYNC_STORE",
      `the store is not written to: ${path} ${foreign.what}`,
      {
        hint: `if it is to be yours alone: ${foreign.mend} ${path}; or give another store with --store`,
      },
    );
  }
  return undefined;
}

/**
 * Refuses a store one of whose folders is a symlink. Nothing could be renamed into it on another disk, and on the same
 * one there is no use for it; but whoever sets the link would say where psync writes and removes.
 *
 * @throws ERR_PSYNC_STORE
 * Source: docs/semantics.md, STORE-6.
 */
export async function refuseLinkedFolders(layout: StoreLayout): Promise<void> {
  for (const name of STORE_FOLDERS) {
    const path = join(layout.path, name);
    if ((await orNothing(path, lstat))?.isSymbolicLink() !== true) continue;
    throw new PsyncError("ERR_PSYNC_STORE", `${path} is a symlink, which psync does not follow`, {
      hint: "move the whole store to where the link leads, and make the store's own path the link",
    });
  }
}

async function orNothing(
  path: string,
  look: (path: string) => Promise<Stats>,
): Promise<Stats | undefined> {
  try {
    return await look(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw storeError("look at", path, error);
  }
}

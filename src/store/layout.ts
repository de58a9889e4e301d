/**
 * Where everything of a store lies. It computes paths and touches nothing.
 *
 * ```
 * <store>/
 *   blocks/<hash>       kept blocks, flat: the folder can be handed to any static web server, and the
 *                       original psync reads and writes the same files
 *   cache/<hash>        blocks that may be evicted; beside blocks/ so that pinning is one rename
 *   tmp/<owner>.<id>    files being written; a name here says which process writes it (tempFiles.ts)
 *   quarantine/<name>   bad blocks `<hash>.<id>` and bad indexes `index.db.<id>`, for people to look at
 *   index.db            SQLite; may be deleted at any time
 *   index.stale         there while cache/ may hold blocks that the index does not count
 *   config.json         what a person edits; not read here
 *   log/                a daemon's log
 * ```
 *
 * All of it lies on one file system, since a file becomes visible by being renamed.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { BlockHash } from "../block/hash.js";
import type { BlockPlace } from "../block/ports.js";

export interface StoreLayout {
  readonly path: string;
  readonly blocks: string;
  readonly cache: string;
  readonly tmp: string;
  readonly quarantine: string;
  readonly log: string;
  readonly index: string;
  readonly staleIndex: string;
}

/** The folders a store has, in the order they are made. */
export const STORE_FOLDERS = ["blocks", "cache", "tmp", "quarantine", "log"] as const;

/** Names by which a folder is known to be a store, even when only some are there. */
export const STORE_NAMES: readonly string[] = [...STORE_FOLDERS, "index.db", "config.json"];

/** Nobody but the user may look: the names alone say which files somebody has. */
export const FOLDER_MODE = 0o700;
export const FILE_MODE = 0o600;

export function storeLayout(path: string): StoreLayout {
  return {
    path,
    blocks: join(path, "blocks"),
    cache: join(path, "cache"),
    tmp: join(path, "tmp"),
    quarantine: join(path, "quarantine"),
    log: join(path, "log"),
    index: join(path, "index.db"),
    staleIndex: join(path, "index.stale"),
  };
}

/** The folder of the blocks in a place. */
export function placeFolder(layout: StoreLayout, place: BlockPlace): string {
  return place === "kept" ? layout.blocks : layout.cache;
}

/** The file of a block in a place. */
export function blockPath(layout: StoreLayout, place: BlockPlace, hash: BlockHash): string {
  return join(placeFolder(layout, place), hash);
}

/** A new name in quarantine/, so that nothing that was set aside before is overwritten. */
export function quarantinePath(layout: StoreLayout, name: string): string {
  return join(layout.quarantine, `${name}.${randomBytes(6).toString("hex")}`);
}

/**
 * Where everything of a store lies. It computes paths and touches nothing.
 *
 * ```
 * <store>/
 *   blocks/<hash>       kept blocks, flat: the folder can be handed to any static web server, and the
 *                       original psync reads and writes the same files
 *   cache/<hash>        blocks that may be evicted; beside blocks/ so that pinning is one rename
 *   tmp/<owner>.<id>    files being written; a name here says which process writes it (tempFiles.ts)
 *   claims/             what running processes have kept or are about to; no block goes that is in it (claims.ts)
 *   quarantine/<name>   bad blocks `<hash>.<id>` and bad indexes `index.db.<id>`, for people to look at;
 *                       `<hash>.kept.<id>` says that the block was kept, and has to be had again
 *   fsck.json           where a check was interrupted (fsckState.ts); may be deleted at any time
 *   index.db            SQLite; may be deleted at any time
 *   index.stale         there while cache/ may hold blocks that the index does not count
 *   seeds               files of the user's whose blocks were not copied, one a line (seedList.ts)
 *   config.json         what a person edits; not read here
 *   log/                a daemon's log
 * ```
 *
 * All of it lies on one file system, since a file becomes visible by being renamed.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { parseBlockHash, type BlockHash } from "../block/hash.js";
import type { BlockPlace } from "../block/ports.js";

export interface StoreLayout {
  readonly path: string;
  readonly blocks: string;
  readonly cache: string;
  readonly tmp: string;
  readonly claims: string;
  readonly quarantine: string;
  readonly log: string;
  readonly index: string;
  readonly fsck: string;
  readonly seeds: string;
  readonly staleIndex: string;
}

/** The folders a store has, in the order they are made. */
export const STORE_FOLDERS = ["blocks", "cache", "tmp", "claims", "quarantine", "log"] as const;

/** Names by which a folder is known to be a store, even when only some are there. */
export const STORE_NAMES: readonly string[] = [
  ...STORE_FOLDERS,
  "index.db",
  "config.json",
  "seeds",
];

/** Nobody but the user may look: the names alone say which files somebody has. */
export const FOLDER_MODE = 0o700;
export const FILE_MODE = 0o600;

export function storeLayout(path: string): StoreLayout {
  return {
    path,
    blocks: join(path, "blocks"),
    cache: join(path, "cache"),
    tmp: join(path, "tmp"),
    claims: join(path, "claims"),
    quarantine: join(path, "quarantine"),
    log: join(path, "log"),
    index: join(path, "index.db"),
    fsck: join(path, "fsck.json"),
    seeds: join(path, "seeds"),
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

/** The same, of a kept block: `lostHash` tells it, so that it can be kept again once somebody has it. */
export function lostPath(layout: StoreLayout, hash: BlockHash): string {
  return quarantinePath(layout, `${hash}.${LOST_MARK}`);
}

/** The kept block that a name in quarantine/ stands for, if it does. */
export function lostHash(name: string): BlockHash | undefined {
  const [hash = "", mark] = name.split(".");
  return mark === LOST_MARK ? parseBlockHash(hash) : undefined;
}

const LOST_MARK = "kept";

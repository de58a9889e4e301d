/**
 * Looking after the blocks of a store: each file judged where it lies, bad ones set aside, what is strange or left over
 * named. What to do about it is for repairBlocks.ts, and in which order and how fast for fsck.ts and scrub.ts.
 *
 * Other processes keep, pin and evict at the same time: a block that is gone when its turn comes is no error.
 */
import { lstat, opendir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { parseBlockHash, type BlockHash } from "../block/hash.js";
import type { BlockPlace } from "../block/ports.js";
import { verifyBlockAside, type VerifiedBlock } from "../block/verify.js";
import { errorMessage, systemErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { blocksInOrder } from "./blocksInOrder.js";
import type { BadFile, BlockFinder } from "./findBlocks.js";
import { blockPath, lostHash, placeFolder, quarantinePath, type StoreLayout } from "./layout.js";
import { readBlockFile, type BlockReading } from "./readBlockFile.js";
import { isAbsent, orStoreError } from "./storeError.js";
import type { CorrectedRows } from "./correctRows.js";
import { countAbandoned } from "./tempFiles.js";

/** What lies at the place of a block. */
export type Judgement =
  | { readonly kind: "absent" }
  | { readonly kind: "good"; readonly block: VerifiedBlock }
  | Bad
  /** The system does not let it be read; nothing says that its bytes are wrong. */
  | { readonly kind: "unreadable"; readonly why: string };

export interface Bad extends BadFile {
  readonly kind: "bad";
  /** The right bytes all the same: where a symlink leads to. */
  readonly copy?: VerifiedBlock | undefined;
  /** It has to be moved away before the block can be kept there: it cannot be compared with it. */
  readonly inTheWay: boolean;
}

export interface LostBlock {
  readonly hash: BlockHash;
  /** What of it lies in quarantine/. */
  readonly names: readonly string[];
}

/** What stands in a place, by names alone. */
export interface Survey {
  readonly blockCount: number;
  /** What is no block's name; LIMITS.check.maxNamed of them. */
  readonly strangeNames: readonly string[];
}

export interface Upkeep {
  /** Of a store that is open for reading only, nothing can be set aside. */
  readonly isReadOnly: boolean;
  /** The names of a place in order, in slices; see `blocksInOrder`. */
  inOrder(
    place: BlockPlace,
    after: string,
    sliceCount?: number,
  ): AsyncIterable<readonly BlockHash[]>;
  survey(place: BlockPlace): Promise<Survey>;
  /** Reads a block's file in one place, whole. The SHA-256 is computed off this thread. */
  judge(place: BlockPlace, hash: BlockHash): Promise<Judgement>;
  setAside: BlockFinder["setAside"];
  /** A block that was kept and set aside, where its bytes are right: one that a disk once did not give, and gives now. */
  goodCopyAside(lost: LostBlock): Promise<VerifiedBlock | undefined>;
  /** Kept blocks that were set aside and are not kept again, in order. */
  lostBlocks(): Promise<readonly LostBlock[]>;
  /** Kept blocks that were set aside and are needed no more: they are not asked for again. What was set aside stays. */
  giveUpLost(hashes: ReadonlySet<BlockHash>): Promise<void>;
  /** Temp files that processes left which are gone: those removed when the store was opened, or, in one that is only read, those there. */
  leftTempFiles(): Promise<number>;
  /**
   * Makes the index what the folder says; the order of use stays. @returns undefined: it does not answer
   * @throws ERR_PSYNC_STORE the store is open for reading only
   */
  rebuildIndex(signal: AbortSignal): Promise<CorrectedRows | undefined>;
  /** Replaces a note in the index; see `StoreIndex.changeNote`. */
  changeNote(
    name: string,
    change: (text: string | undefined) => string | undefined,
  ): Promise<boolean>;
}

export interface UpkeepParts {
  readonly layout: StoreLayout;
  readonly finder: BlockFinder;
  readonly isReadOnly: boolean;
  readonly leftTempFiles?: number;
  readonly rebuildIndex: Upkeep["rebuildIndex"];
  readonly changeNote: Upkeep["changeNote"];
}

export function createUpkeep(parts: UpkeepParts): Upkeep {
  const { layout, finder, isReadOnly } = parts;
  return {
    isReadOnly,
    inOrder: (place, after, sliceCount = LIMITS.check.sliceCount) =>
      blocksInOrder(placeFolder(layout, place), { after, sliceCount }),
    survey: (place) => {
      const folder = placeFolder(layout, place);
      return orStoreError("list", folder, () => survey(folder));
    },
    judge: (place, hash) => judge(blockPath(layout, place, hash), hash),
    setAside: (place, hash, bad) => finder.setAside(place, hash, bad),
    goodCopyAside: (lost) => goodCopyAside(layout, lost),
    lostBlocks: () =>
      orStoreError("list", layout.quarantine, () => lostBlocks(layout, { settle: !isReadOnly })),
    giveUpLost: (hashes) =>
      orStoreError("list", layout.quarantine, () => giveUpLost(layout, hashes)),
    leftTempFiles: async () =>
      parts.leftTempFiles ??
      orStoreError("list", layout.tmp, () => orNothing(() => countAbandoned(layout.tmp), 0)),
    rebuildIndex: (signal) => parts.rebuildIndex(signal),
    changeNote: (name, change) => parts.changeNote(name, change),
  };
}

async function judge(path: string, hash: BlockHash): Promise<Judgement> {
  let stats;
  try {
    stats = await lstat(path, { bigint: true });
  } catch (error) {
    return isAbsent(error) ? { kind: "absent" } : { kind: "unreadable", why: errorMessage(error) };
  }
  const inode = stats.ino;
  if (stats.isDirectory()) return { kind: "bad", why: "is a folder", inode, inTheWay: true };
  let reading = await readBlockFile(path, hash, verifyBlockAside);
  // Some disks give at the second try what they did not give at the first.
  if (hasReadError(reading)) reading = await readBlockFile(path, hash, verifyBlockAside);
  if (stats.isSymbolicLink()) {
    const copy = reading.kind === "good" ? reading.block : undefined;
    return { kind: "bad", why: "is a symlink", inode, copy, inTheWay: true };
  }
  switch (reading.kind) {
    case "absent":
      return reading;
    case "good":
      return { kind: "good", block: reading.block };
    case "bad":
      return { kind: "bad", why: reading.why, inode: reading.inode, inTheWay: false };
    case "unreadable": {
      const why = errorMessage(reading.error);
      // Sectors that went bad: the file is lost as if its bytes were wrong. Anything else may pass.
      return hasReadError(reading)
        ? { kind: "bad", why, inode, inTheWay: true }
        : { kind: "unreadable", why };
    }
  }
}

function hasReadError(reading: BlockReading): boolean {
  return reading.kind === "unreadable" && systemErrorCode(reading.error) === "EIO";
}

async function survey(folder: string): Promise<Survey> {
  let blockCount = 0;
  const strangeNames: string[] = [];
  const walk = async (): Promise<void> => {
    for await (const { name } of await opendir(folder, { bufferSize: 256 })) {
      if (parseBlockHash(name) === name) blockCount += 1;
      else if (strangeNames.length < LIMITS.check.maxNamed) strangeNames.push(name);
    }
  };
  await orNothing(walk, undefined);
  return { blockCount, strangeNames: strangeNames.sort() };
}

/** @param settle takes the mark from those that are kept again */
async function lostBlocks(
  layout: StoreLayout,
  { settle }: { readonly settle: boolean },
): Promise<readonly LostBlock[]> {
  const lost = new Map<BlockHash, string[]>();
  for (const name of await orNothing(() => readdir(layout.quarantine), [])) {
    const hash = lostHash(name);
    if (hash === undefined) continue;
    const isKept = await lstat(blockPath(layout, "kept", hash)).then(
      (stats) => stats.isFile(),
      () => false,
    );
    if (!isKept) lost.set(hash, [...(lost.get(hash) ?? []), name]);
    else if (settle) await takeMark(layout, name, hash);
  }
  return [...lost]
    .map(([hash, names]) => ({ hash, names }))
    .sort((a, b) => (a.hash < b.hash ? -1 : 1));
}

async function goodCopyAside(
  layout: StoreLayout,
  { hash, names }: LostBlock,
): Promise<VerifiedBlock | undefined> {
  for (const name of names) {
    const judged = await judge(join(layout.quarantine, name), hash);
    if (judged.kind === "good") return judged.block;
  }
  return undefined;
}

async function giveUpLost(layout: StoreLayout, hashes: ReadonlySet<BlockHash>): Promise<void> {
  if (hashes.size === 0) return;
  for (const name of await orNothing(() => readdir(layout.quarantine), [])) {
    const hash = lostHash(name);
    if (hash !== undefined && hashes.has(hash)) await takeMark(layout, name, hash);
  }
}

/** Where it was removed by hand meanwhile, or a disk fails, it stays, and is looked at again. */
async function takeMark(layout: StoreLayout, name: string, hash: BlockHash): Promise<void> {
  await rename(join(layout.quarantine, name), quarantinePath(layout, hash)).catch(() => undefined);
}

/** A store that is only read may lack a folder: there is nothing in it then. */
async function orNothing<T>(work: () => Promise<T>, nothing: T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAbsent(error)) return nothing;
    throw error;
  }
}

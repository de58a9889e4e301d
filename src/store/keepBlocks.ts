/**
 * Kept blocks: written or moved to blocks/ so that neither a crash nor a power cut takes back a promise.
 *
 * The order is: temp file, write, fdatasync, rename, and one fsync of the folder a batch; only then is it
 * said to be kept. A crash before the rename leaves a temp file, which the next start clears; after it, a
 * whole block. A block that is there under its name is never a part of one.
 */
import { link, lstat, rm } from "node:fs/promises";
import { PsyncError, errorMessage } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockHash } from "../block/hash.js";
import type { VerifiedBlock } from "../block/verify.js";
import type { BlockFinder, FoundBlock } from "./findBlocks.js";
import { inParallel } from "../core/inParallel.js";
import { blockPath, type StoreLayout } from "./layout.js";
import { openBlockFile, readAll } from "./readBlockFile.js";
import { isAbsent, orStoreError } from "./storeError.js";
import type { TempFiles } from "./tempFiles.js";
import { syncFolder } from "../core/atomicFile.js";
import { putInPlace, syncFile, writeNewFile } from "./writeFile.js";

export interface BlockKeeper {
  keep(blocks: readonly VerifiedBlock[]): Promise<void>;
  pin(hash: BlockHash): Promise<boolean>;
  sync(hashes: readonly BlockHash[]): Promise<void>;
  /** Keeps a block that was kept before, and claims it for nobody. */
  restore(block: VerifiedBlock): Promise<void>;
}

export interface BlockKeeperOptions {
  readonly layout: StoreLayout;
  readonly temp: TempFiles;
  readonly finder: BlockFinder;
  readonly log: Logger;
  /** From then on no other process takes these blocks out of blocks/. */
  readonly claim: (hashes: Iterable<BlockHash>) => Promise<void>;
  /** Told of blocks that have left cache/. */
  readonly onUncached: (hashes: readonly BlockHash[]) => void;
}

export function createBlockKeeper(options: BlockKeeperOptions): BlockKeeper {
  const { layout, temp, finder, log, claim, onUncached } = options;
  let lostSync: Error | undefined;

  /**
   * A sync that failed cannot be repeated: the kernel forgets what it could not write, and the next sync
   * succeeds for nothing. A temp file is written anew; for what lies in its place already there is only
   * this: the process keeps nothing any more.
   */
  const syncForGood = async (path: string, sync: () => Promise<void>): Promise<void> => {
    try {
      await orStoreError("sync", path, sync);
    } catch (error) {
      lostSync = error instanceof Error ? error : new Error(errorMessage(error));
      throw error;
    }
  };

  const assertDurable = (): void => {
    if (!lostSync) return;
    throw new PsyncError(
      "ERR_PSYNC_STORE",
      `nothing more is kept in ${layout.path} by this process: ${lostSync.message}`,
      { hint: "look at dmesg and at the disk, then start psync again", cause: lostSync },
    );
  };

  const syncOne = async (hash: BlockHash): Promise<void> => {
    const path = blockPath(layout, "kept", hash);
    const opened = await orStoreError("open", path, () => openBlockFile(path));
    if (opened.kind !== "open") throw notKeptAnyMore(path);
    try {
      await syncForGood(path, () => opened.handle.datasync());
    } finally {
      await opened.handle.close();
    }
  };

  const keepOne = async (block: VerifiedBlock): Promise<void> => {
    const path = blockPath(layout, "kept", block.hash);
    const present = await orStoreError("read", path, () => compareFile(path, block.bytes));
    if (present.kind === "same") {
      // Whoever put it there need not have synced it: the original psync, cp, rsync.
      await syncOne(block.hash);
      return;
    }
    const tempPath = temp.newPath();
    await orStoreError("write", tempPath, () =>
      writeNewFile(tempPath, block.bytes, { sync: true }),
    );
    if (present.kind === "different") await finder.linkAside(block.hash, present);
    await putInPlace(tempPath, path);
  };

  const dropCachedCopies = async (hashes: readonly BlockHash[]): Promise<void> => {
    const dropped: BlockHash[] = [];
    for (const hash of hashes) {
      const path = blockPath(layout, "cached", hash);
      try {
        await rm(path);
        dropped.push(hash);
      } catch (error) {
        // The block is kept; a second copy costs its space until it is evicted.
        if (!isAbsent(error)) log.warn(`cannot remove ${path}: ${errorMessage(error)}`);
      }
    }
    if (dropped.length > 0) onUncached(dropped);
  };

  const keep = async (blocks: readonly VerifiedBlock[]): Promise<void> => {
    assertDurable();
    if (blocks.length === 0) return;
    await claim(blocks.map(({ hash }) => hash));
    await put(blocks);
  };

  const restore = async (block: VerifiedBlock): Promise<void> => {
    assertDurable();
    await put([block]);
  };

  const put = async (blocks: readonly VerifiedBlock[]): Promise<void> => {
    const byHash = new Map(blocks.map((block) => [block.hash, block]));
    await inParallel(byHash.values(), LIMITS.store.keepWritesAtOnce, keepOne);
    await syncForGood(layout.blocks, () => syncFolder(layout.blocks));
    assertDurable();
    await dropCachedCopies([...byHash.keys()]);
  };

  const sync = async (hashes: readonly BlockHash[]): Promise<void> => {
    assertDurable();
    if (hashes.length === 0) return;
    await claim(hashes);
    await inParallel(new Set(hashes), LIMITS.store.keepWritesAtOnce, syncOne);
    await syncForGood(layout.blocks, () => syncFolder(layout.blocks));
    assertDurable();
  };

  /** Whether the very file that was verified is now synced and in blocks/. */
  const moveCached = async (found: FoundBlock): Promise<boolean> => {
    const { hash } = found.block;
    const from = blockPath(layout, "cached", hash);
    const to = blockPath(layout, "kept", hash);
    try {
      await syncFile(from);
      // Not renamed: that would replace what somebody else has kept and synced meanwhile.
      await link(from, to);
    } catch (error) {
      // Evicted or kept meanwhile, or a disk that fails: the verified bytes are in memory, and are written anew.
      log.debug(`cannot move ${from} to blocks/, it is written anew: ${errorMessage(error)}`);
      return false;
    }
    // Another process may have cached the block again before the link: that file was not synced.
    const linked = await orStoreError("look at", to, () => lstat(to, { bigint: true }));
    if (linked.ino !== found.inode) return false;
    await syncForGood(layout.blocks, () => syncFolder(layout.blocks));
    await dropCachedCopies([hash]);
    return true;
  };

  const pin = async (hash: BlockHash): Promise<boolean> => {
    assertDurable();
    await claim([hash]);
    const found = await finder.read(hash);
    if (!found) return false;
    if (found.place === "cached" && (await moveCached(found))) {
      assertDurable();
      return true;
    }
    await keep([found.block]);
    return true;
  };

  return { keep, pin, sync, restore };
}

function notKeptAnyMore(path: string): PsyncError {
  return new PsyncError("ERR_PSYNC_STORE", `cannot sync ${path}: it is not there any more`, {
    hint: "run the same command again",
  });
}

type Comparison =
  | { readonly kind: "absent" }
  | { readonly kind: "same" }
  | { readonly kind: "different"; readonly why: string; readonly inode: bigint };

/** Cost: a read of the file when the lengths agree; comparing is ten times cheaper than hashing. */
async function compareFile(path: string, bytes: Uint8Array): Promise<Comparison> {
  const opened = await openBlockFile(path);
  if (opened.kind === "absent") return opened;
  if (opened.kind === "symlink") {
    return { kind: "different", why: "is a symlink", inode: opened.inode };
  }
  const { handle } = opened;
  try {
    const stats = await handle.stat({ bigint: true });
    const different = (why: string): Comparison => ({ kind: "different", why, inode: stats.ino });
    if (!stats.isFile()) return different("is not a regular file");
    if (stats.size !== BigInt(bytes.length)) {
      return different(`has ${String(stats.size)} bytes where the block has ${bytes.length}`);
    }
    const present = await readAll(handle, bytes.length);
    return Buffer.compare(present, bytes) === 0
      ? { kind: "same" }
      : different("has other bytes than the block");
  } finally {
    await handle.close();
  }
}

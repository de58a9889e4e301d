/** One block file, read whole and judged. Says what it found; what to do about it is for the caller. */
import { constants } from "node:fs";
import { lstat, open, type FileHandle } from "node:fs/promises";
import { isPsyncError, systemErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { BlockHash } from "../block/hash.js";
import { verifyBlock, type verifyBlockAside, type VerifiedBlock } from "../block/verify.js";
import { isAbsent } from "./storeError.js";

export type BlockReading =
  | { readonly kind: "absent" }
  /** The bytes are not what the name says; `why` names the sum that was seen. */
  | { readonly kind: "bad"; readonly why: string; readonly inode: bigint }
  | { readonly kind: "unreadable"; readonly error: unknown }
  | { readonly kind: "good"; readonly block: VerifiedBlock; readonly inode: bigint };

type Verify = typeof verifyBlock | typeof verifyBlockAside;

/**
 * Reads a file and verifies that it is the block.
 *
 * @param verify on this thread, unless it is `verifyBlockAside`
 * Cost: open, stat, read, close on libuv's threads, one pass of SHA-256 on this one; memory of the block.
 */
export async function readBlockFile(
  path: string,
  hash: BlockHash,
  verify: Verify = verifyBlock,
): Promise<BlockReading> {
  let opened: OpenedBlock;
  try {
    opened = await openBlockFile(path);
  } catch (error) {
    return { kind: "unreadable", error };
  }
  if (opened.kind === "absent") return opened;
  if (opened.kind === "symlink") return { kind: "bad", inode: opened.inode, why: "is a symlink" };
  try {
    return await judge(opened.handle, hash, verify);
  } catch (error) {
    return { kind: "unreadable", error };
  } finally {
    await opened.handle.close();
  }
}

export type OpenedBlock =
  | { readonly kind: "absent" }
  /** The link itself, by its own inode; where it leads to is nobody's business. */
  | { readonly kind: "symlink"; readonly inode: bigint }
  | { readonly kind: "open"; readonly handle: FileHandle };

/**
 * Opens what lies under a block's name, for reading.
 *
 * @throws the system error
 */
export async function openBlockFile(path: string): Promise<OpenedBlock> {
  try {
    // Without O_NONBLOCK, opening a FIFO would hold a thread until somebody writes to it.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
    return { kind: "open", handle: await open(path, flags) };
  } catch (error) {
    if (isAbsent(error)) return { kind: "absent" };
    if (systemErrorCode(error) !== "ELOOP") throw error;
  }
  try {
    return { kind: "symlink", inode: (await lstat(path, { bigint: true })).ino };
  } catch (error) {
    if (isAbsent(error)) return { kind: "absent" };
    throw error;
  }
}

async function judge(handle: FileHandle, hash: BlockHash, verify: Verify): Promise<BlockReading> {
  const stats = await handle.stat({ bigint: true });
  const inode = stats.ino;
  if (!stats.isFile()) return { kind: "bad", inode, why: "is not a regular file" };
  if (stats.size > LIMITS.block.maxSizeBytes) {
    return { kind: "bad", inode, why: `has ${String(stats.size)} bytes, more than a block can` };
  }
  const bytes = await readAll(handle, Number(stats.size));
  try {
    return { kind: "good", inode, block: await verify(hash, bytes) };
  } catch (error) {
    if (!isPsyncError(error, "ERR_PSYNC_HASH_MISMATCH")) throw error;
    return { kind: "bad", inode, why: error.message };
  }
}

/** Reads up to the given length from the start; fewer bytes where the file has become shorter. */
export async function readAll(handle: FileHandle, sizeBytes: number): Promise<Uint8Array> {
  // Not from the pool that small buffers share: a cached last block would hold 8 KiB of others.
  const bytes = Buffer.allocUnsafeSlow(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const bytesRead = await readSome(handle, bytes, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** libuv repeats every other call that a signal interrupts (native-notes/node.md). */
async function readSome(handle: FileHandle, bytes: Buffer, position: number): Promise<number> {
  for (;;) {
    try {
      const { bytesRead } = await handle.read(bytes, position, bytes.length - position, position);
      return bytesRead;
    } catch (error) {
      if (systemErrorCode(error) !== "EINTR") throw error;
    }
  }
}

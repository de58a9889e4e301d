/** One block file, read whole and judged. Says what it found; what to do about it is for the caller. */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { isPsyncError } from "../core/errors.js";
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
  let handle: FileHandle;
  try {
    // Without O_NONBLOCK, opening a FIFO would hold a thread until somebody writes to it.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return isAbsent(error) ? { kind: "absent" } : { kind: "unreadable", error };
  }
  try {
    return await judge(handle, hash, verify);
  } catch (error) {
    return { kind: "unreadable", error };
  } finally {
    await handle.close();
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
    const { bytesRead } = await handle.read(bytes, done, sizeBytes - done, done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

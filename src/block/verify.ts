/** Verification: the only place where bytes become a block that may be used. */
import { hash as digest, webcrypto } from "node:crypto";
import { PsyncError } from "../core/errors.js";
import type { BlockHash } from "./hash.js";

declare const verified: unique symbol;

/** Bytes whose SHA-256 this process has computed and found to be `hash`. Nobody may change them. */
export interface VerifiedBlock {
  readonly hash: BlockHash;
  readonly bytes: Uint8Array;
  readonly [verified]: true;
}

/**
 * Checks bytes against their name.
 *
 * @param bytes Uint8Array[0..64 MiB]; owned by the block from here on
 * @throws ERR_PSYNC_HASH_MISMATCH the bytes have another SHA-256; the message says which
 * Cost: one pass of SHA-256 on the calling thread. Source: docs/semantics.md, VERIFY-1.
 */
export function verifyBlock(hash: BlockHash, bytes: Uint8Array): VerifiedBlock {
  return judged(hash, bytes, sha256(bytes));
}

/** The same, with the SHA-256 computed on one of libuv's threads: for work that nobody waits for. Copies the bytes once. */
export async function verifyBlockAside(hash: BlockHash, bytes: Uint8Array): Promise<VerifiedBlock> {
  const seen = Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes)).toString("hex");
  return judged(hash, bytes, seen);
}

/** Names bytes: the block that they are. */
export function blockOf(bytes: Uint8Array): VerifiedBlock {
  return { hash: sha256(bytes), bytes } as VerifiedBlock;
}

function sha256(bytes: Uint8Array): BlockHash {
  return digest("sha256", bytes, "hex") as BlockHash;
}

function judged(hash: BlockHash, bytes: Uint8Array, seen: string): VerifiedBlock {
  if (seen !== hash) {
    throw new PsyncError(
      "ERR_PSYNC_HASH_MISMATCH",
      `block ${hash} came as ${bytes.length} bytes that hash to ${seen}`,
    );
  }
  return { hash, bytes } as VerifiedBlock;
}

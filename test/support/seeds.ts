/** Files of a user's own, as the tests of seeds have them. */
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Store } from "../../src/store/openStore.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { listOf } from "./lists.js";

const NEVER = new AbortController().signal;

/** Writes a file. @param atSeconds its mtime, whole, so that it can be set to the same again */
export async function writeSeed(path: string, bytes: Uint8Array, atSeconds = 1000): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
  await utimes(path, atSeconds, atSeconds);
}

/** The blocks that a file of these bytes is cut into. */
export async function blocksOf(
  bytes: Uint8Array,
  blockSizeBytes: number,
): Promise<readonly VerifiedBlock[]> {
  return [...(await listOf(bytes, blockSizeBytes)).blocks.values()];
}

/** Hashes the seeds of a store now. @returns the bytes that were read for it */
export async function hashNow(
  store: Store,
  options: { readonly listed?: boolean; readonly signal?: AbortSignal } = {},
): Promise<number> {
  let readBytes = 0;
  await store.seeds.hash({
    signal: options.signal ?? NEVER,
    listed: options.listed ?? true,
    onBytes: (sizeBytes) => {
      readBytes += sizeBytes;
    },
  });
  return readBytes;
}

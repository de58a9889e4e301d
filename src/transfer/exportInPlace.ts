/** A file's blocks named and left where they are: the file becomes a seed of the store. */
import { realpath, stat } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import type { SeedKeeper, SeedWriter } from "../block/ports.js";
import { blockOf } from "../block/verify.js";
import { abortable } from "../core/abort.js";
import { PsyncError } from "../core/errors.js";
import { fileStamp } from "../hashlist/readHashlist.js";
import { splitBlocks } from "../hashlist/splitBlocks.js";
import type { ExportedBlock } from "./exportStream.js";

export interface InPlace {
  readonly keeper: SeedKeeper;
  /** Whether files of a device are shown by psync itself: one that gave their blocks would wait for itself. */
  readonly isOwnDevice: (device: bigint) => boolean;
}

/**
 * Begins a seed for an open file.
 *
 * @param stats of the open file
 * @throws ERR_PSYNC_USAGE its blocks cannot stay where they are
 * @throws ERR_PSYNC_FILE_CHANGED the path leads to another file by now
 */
export async function beginSeed(
  path: string,
  stats: BigIntStats,
  { keeper, isOwnDevice, blockSizeBytes }: InPlace & { readonly blockSizeBytes: number },
): Promise<SeedWriter> {
  if (!stats.isFile()) throw cannotStay(path, "it is not an ordinary file");
  if (isOwnDevice(stats.dev)) throw cannotStay(path, "it lies in a mount of psync");
  const realPath = await realpath(path);
  // The path stands in the list of the store as text.
  if (realPath.includes("\ufffd")) throw cannotStay(path, "its path is not UTF-8");
  if (fileStamp(await stat(realPath, { bigint: true })) !== fileStamp(stats)) {
    throw new PsyncError("ERR_PSYNC_FILE_CHANGED", `${path} changed while it was opened`);
  }
  const { mtimeNs } = stats;
  return keeper.begin({ path: realPath, sizeBytes: Number(stats.size), mtimeNs, blockSizeBytes });
}

/**
 * Cuts bytes into blocks and gives their names in order; nothing of them is stored.
 *
 * @throws what reading the bytes throws, or the signal's reason
 */
export async function* nameBlocks(
  chunks: AsyncIterable<Uint8Array>,
  seed: SeedWriter,
  { blockSizeBytes, signal }: { readonly blockSizeBytes: number; readonly signal: AbortSignal },
): AsyncGenerator<ExportedBlock> {
  for await (const bytes of splitBlocks(abortable(chunks, signal), blockSizeBytes)) {
    const { hash } = blockOf(bytes);
    await seed.add(hash);
    yield { hash, sizeBytes: bytes.length };
  }
}

function cannotStay(path: string, why: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", `the blocks of ${path} cannot stay in it: ${why}`, {
    hint: "export it without --no-copy",
  });
}

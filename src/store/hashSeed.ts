/**
 * A file of the user's read through and its blocks named, a piece at a time: a read that waits is not held up for
 * longer than a piece is being hashed. Gives names only; nobody takes these bytes for a block.
 */
import { createHash } from "node:crypto";
import { LIMITS } from "../core/limits.js";
import { blockHashFromBytes, type BlockHash } from "../block/hash.js";
import type { SeedFile } from "../block/ports.js";
import type { SeedCalls } from "./seedCalls.js";
import { openSeedFile, type SeedReader } from "./seedFile.js";
import { isSameFile, seedBlockCount } from "./seedRows.js";

/** How fast seeds are hashed: awaited before each piece. @throws the reason to stop */
export type SeedPace = (pieceBytes: number) => Promise<void>;

export interface OpenSeed {
  readonly file: SeedFile;
  /**
   * The names of its blocks from an index on. It ends early where the file is not as it was any more.
   *
   * @throws the system error of a read; what the pace throws
   */
  hashes(firstIndex: number, pace: SeedPace): AsyncGenerator<BlockHash>;
  close(): void;
}

/**
 * Opens a file to hash it.
 *
 * @returns undefined: it is no ordinary file, or has more blocks of this size than a list can
 * @throws the system error; as `SeedCalls.run`
 */
export async function openSeed(
  path: string,
  blockSizeBytes: number,
  calls: SeedCalls,
): Promise<OpenSeed | undefined> {
  const reader = await openSeedFile(calls, path);
  try {
    const file = await fileOf(reader, path, blockSizeBytes);
    if (file && seedBlockCount(file) <= LIMITS.hashlist.maxBlockCount) {
      return {
        file,
        hashes: (firstIndex, pace) => hashesOf(reader, file, firstIndex, pace),
        close: () => {
          reader.close();
        },
      };
    }
  } catch (error) {
    reader.close();
    throw error;
  }
  reader.close();
  return undefined;
}

async function fileOf(
  reader: SeedReader,
  path: string,
  blockSizeBytes: number,
): Promise<SeedFile | undefined> {
  const stats = await reader.stat();
  if (!stats.isFile()) return undefined;
  return { path, sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs, blockSizeBytes };
}

async function* hashesOf(
  reader: SeedReader,
  file: SeedFile,
  firstIndex: number,
  pace: SeedPace,
): AsyncGenerator<BlockHash> {
  const { path, sizeBytes, blockSizeBytes } = file;
  const piece = Buffer.allocUnsafeSlow(Math.min(LIMITS.seeds.pieceBytes, blockSizeBytes));
  for (let start = firstIndex * blockSizeBytes; start < sizeBytes; start += blockSizeBytes) {
    const end = Math.min(start + blockSizeBytes, sizeBytes);
    const hash = createHash("sha256");
    for (let at = start; at < end;) {
      const wantedBytes = Math.min(piece.length, end - at);
      await pace(wantedBytes);
      const bytesRead = await reader.read(piece.subarray(0, wantedBytes), at);
      if (bytesRead === 0) return;
      hash.update(piece.subarray(0, bytesRead));
      at += bytesRead;
    }
    yield blockHashFromBytes(hash.digest(), 0);
    const now = await fileOf(reader, path, blockSizeBytes);
    if (!now || !isSameFile(now, file)) return;
  }
}

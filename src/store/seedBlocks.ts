/**
 * Blocks that lie in files of the user's: finding and reading them where the index says. Whatever is not as the index
 * says counts as not there, and is no error: the files are the user's.
 */
import { errorMessage, isPsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { BlockHash } from "../block/hash.js";
import type { StoredBlock } from "../block/ports.js";
import { verifyBlock, type VerifiedBlock } from "../block/verify.js";
import { NoAnswerError, type SeedCalls } from "./seedCalls.js";
import { openSeedFile } from "./seedFile.js";
import { isSameFile, type SeedPlace, type SeedRow } from "./seedRows.js";
import { isAbsent } from "./storeError.js";
import type { StoreIndex } from "./storeIndex.js";

export interface SeedBlocks {
  find(hash: BlockHash): Promise<StoredBlock | undefined>;
  read(hash: BlockHash): Promise<VerifiedBlock | undefined>;
}

export interface SeedBlocksOptions {
  readonly index: StoreIndex;
  readonly calls: SeedCalls;
  readonly log: Logger;
  /** Whether a file that the index knows may be read: it is listed, or was named to this process. */
  readonly isInUse: (seed: SeedRow) => boolean;
  /** Whether the store is being closed: what is broken off then is no news. */
  readonly isClosing: () => boolean;
  /** Told of a file that has another size, mtime or block than when it was hashed. */
  readonly onChanged: (seed: SeedRow) => void;
}

export function createSeedBlocks({
  index,
  calls,
  log,
  isInUse,
  isClosing,
  onChanged,
}: SeedBlocksOptions): SeedBlocks {
  const placesOf = async (hash: BlockHash): Promise<readonly SeedPlace[]> => {
    const { candidateCount } = LIMITS.seeds;
    const places = await index.readSeeds((rows) => rows.placesOf(hash, candidateCount));
    return (places ?? []).filter(({ seed }) => isInUse(seed));
  };

  const isAsHashed = (seed: SeedRow, stats: FileStats): boolean => {
    if (!stats.isFile()) return false;
    if (isSameFile(seed, { sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs })) return true;
    onChanged(seed);
    return false;
  };

  /** @returns the bytes that stand there, undefined where the file is gone or not as it was */
  const readPlace = async (place: SeedPlace): Promise<Uint8Array | undefined> => {
    const { seed, blockIndex } = place;
    const sizeBytes = placeSize(place);
    if (sizeBytes === undefined) return undefined;
    const reader = await openSeedFile(calls, seed.path);
    try {
      if (!isAsHashed(seed, await reader.stat())) return undefined;
      const bytes = Buffer.allocUnsafeSlow(sizeBytes);
      const startBytes = blockIndex * seed.blockSizeBytes;
      for (let done = 0; done < sizeBytes;) {
        const bytesRead = await reader.read(bytes.subarray(done), startBytes + done);
        if (bytesRead === 0) return undefined;
        done += bytesRead;
      }
      return bytes;
    } finally {
      reader.close();
    }
  };

  /** Written to without a new mtime, a disk that rots, or a cable that did: the file is hashed again from there. */
  const doubt = async (place: SeedPlace): Promise<void> => {
    await index.changeSeeds((rows) => {
      rows.doubt(place);
    });
    onChanged(place.seed);
  };

  return {
    async find(hash) {
      for (const place of await placesOf(hash)) {
        const sizeBytes = placeSize(place);
        if (sizeBytes === undefined || isDoubted(place)) continue;
        // A file that cannot be looked at does not have the block.
        const stats = await calls.lstat(place.seed.path).catch(() => undefined);
        if (!stats || !isAsHashed(place.seed, stats)) continue;
        return { place: "seed", sizeBytes };
      }
      return undefined;
    },

    async read(hash) {
      for (const place of await placesOf(hash)) {
        const { path } = place.seed;
        try {
          const bytes = await readPlace(place);
          if (bytes) return verifyBlock(hash, bytes);
        } catch (error) {
          const isWrong = isPsyncError(error, "ERR_PSYNC_HASH_MISMATCH");
          const isSaid = isAbsent(error) || error instanceof NoAnswerError || isClosing();
          const message = `block ${hash} is not read from ${path}: ${errorMessage(error)}`;
          if (isSaid || (isWrong && isDoubted(place))) log.debug(message);
          else log.warn(message);
          if (isWrong) await doubt(place);
        }
      }
      return undefined;
    },
  };
}

interface FileStats {
  isFile(): boolean;
  readonly size: bigint;
  readonly mtimeNs: bigint;
}

/** Whether a block was not there when it was read last. */
function isDoubted({ seed, blockIndex }: SeedPlace): boolean {
  return blockIndex === seed.doneCount;
}

/** The length of a block there; undefined: there can be none, whatever the index says. */
function placeSize({ seed, blockIndex }: SeedPlace): number | undefined {
  const { sizeBytes, blockSizeBytes } = seed;
  const leftBytes = sizeBytes - blockIndex * blockSizeBytes;
  const lengthBytes = Math.min(blockSizeBytes, leftBytes);
  const isSensible = blockIndex >= 0 && lengthBytes > 0;
  return isSensible && lengthBytes <= LIMITS.block.maxSizeBytes ? lengthBytes : undefined;
}

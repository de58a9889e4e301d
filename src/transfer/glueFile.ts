/** A list and its blocks → the file, verified, and only when every block is there. */
import { formatCount } from "../core/bytes.js";
import type { BlockStore } from "../block/ports.js";
import { followSymlinks, writeAtomically } from "../core/atomicFile.js";
import { errorMessage, isPsyncError, PsyncError } from "../core/errors.js";
import type { Hashlist } from "../hashlist/hashlist.js";
import type { BlockSource } from "../block/ports.js";
import { blocksInOrder } from "../view/sequence.js";
import { listInfo } from "./listInfo.js";

export interface GlueParts {
  readonly list: Hashlist;
  readonly store: BlockStore;
  /** Gives the blocks; reads the store. */
  readonly source: BlockSource;
  readonly signal: AbortSignal;
  readonly onBytes?: (sizeBytes: number) => void;
}

/** What takes the file's bytes; resolves when it can take more. */
export type WriteBytes = (bytes: Uint8Array) => Promise<void>;

/**
 * Gives the file's bytes in order. When blocks are missing it fails before the first byte.
 *
 * @throws ERR_PSYNC_BLOCK_UNAVAILABLE blocks are not in the store
 * @throws ERR_PSYNC_CORRUPT the blocks do not make up one file
 */
export async function glue(parts: GlueParts, write: WriteBytes): Promise<void> {
  const { list, store } = parts;
  const sizes = { get: () => undefined, set: () => undefined };
  const { missingCount, distinctBlockCount } = await listInfo(list, { store, sizes });
  if (missingCount > 0) {
    throw new PsyncError(
      "ERR_PSYNC_BLOCK_UNAVAILABLE",
      `${missingCount} of ${formatCount(distinctBlockCount, "block")} ${missingCount === 1 ? "is" : "are"} not in the store`,
      { hint: "fetch them with `psync get URL LIST`, then glue again" },
    );
  }
  for await (const bytes of blocksInOrder(parts, parts.signal)) {
    await write(bytes);
    parts.onBytes?.(bytes.length);
  }
}

/** Writes the file through a temporary one: at `path`, or where that leads to, it is whole or not at all. */
export async function glueToFile(parts: GlueParts, path: string): Promise<void> {
  try {
    await writeAtomically(await followSymlinks(path), {}, (file) =>
      glue(parts, (bytes) => file.appendFile(bytes)),
    );
  } catch (error) {
    if (isPsyncError(error)) throw error;
    throw new PsyncError("ERR_PSYNC_FAILED", `cannot write ${path}: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

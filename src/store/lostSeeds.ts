/** Which files of the store's list cannot give all their blocks. */
import type { SeedFile } from "../block/ports.js";
import type { StoreLayout } from "./layout.js";
import { NoAnswerError, type SeedCalls } from "./seedCalls.js";
import { keyOf, readSeedList } from "./seedList.js";
import { isSameFile } from "./seedRows.js";
import { systemErrorCode } from "../core/errors.js";

/** A seed of the store's list that cannot give all its blocks. */
export interface LostSeed {
  readonly path: string;
  readonly state: LostState;
}

/**
 * `not hashed`: the index was lost, or the file changed; a mount or a server hashes it behind its work. `misread`: it
 * looks as it did, and a block of it was not the one it had. `out of reach`: its file system does not answer.
 */
export type LostState = "gone" | "changed" | "out of reach" | HashState;

/** What the index says of a file. */
export type HashState = "not hashed" | "misread";

/**
 * The files of the list that lack blocks.
 *
 * @param hashState what keeps the blocks of a file that is as it was from being found; undefined: nothing
 * @throws ERR_PSYNC_STORE the list cannot be read
 */
export async function lostSeeds(
  layout: StoreLayout,
  calls: SeedCalls,
  hashState: (file: SeedFile) => Promise<HashState | undefined>,
): Promise<LostSeed[]> {
  const files = new Map<string, SeedFile>();
  for await (const file of readSeedList(layout)) files.set(keyOf(file), file);
  const lost: LostSeed[] = [];
  for (const file of files.values()) {
    const state = (await fileState(file, calls)) ?? (await hashState(file));
    if (state) lost.push({ path: file.path, state });
  }
  return lost;
}

/** @returns undefined: it is as it was. Cost: one lstat */
async function fileState(file: SeedFile, calls: SeedCalls): Promise<LostState | undefined> {
  try {
    const stats = await calls.lstat(file.path);
    if (!stats.isFile()) return "gone";
    const now = { sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs };
    return isSameFile(file, now) ? undefined : "changed";
  } catch (error) {
    if (error instanceof NoAnswerError) return "out of reach";
    return systemErrorCode(error) === "EACCES" ? "changed" : "gone";
  }
}

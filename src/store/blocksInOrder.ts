/** Walks over the blocks of a folder in the order of their names, so that a walk can go on where another one stopped. */
import type { BlockHash } from "../block/hash.js";
import { listHashesIfThere } from "./listBlocks.js";

/**
 * Yields the names after a given one, in order, a slice of them at a time. Blocks that come or go meanwhile may be in it or not.
 *
 * @param sliceCount integer ≥ 1, names in a slice
 * @throws ERR_PSYNC_STORE the folder cannot be read; one that is not there has no blocks
 * Cost: memory of two slices; each slice is a readdir of the whole folder.
 */
export async function* blocksInOrder(
  folder: string,
  options: { readonly after: string; readonly sliceCount: number },
): AsyncGenerator<readonly BlockHash[], void, undefined> {
  const { sliceCount } = options;
  let { after } = options;
  for (;;) {
    const slice = await firstAfter(folder, after, sliceCount);
    if (slice.length > 0) yield slice;
    if (slice.length < sliceCount) return;
    after = slice.at(-1) ?? after;
  }
}

async function firstAfter(
  folder: string,
  after: string,
  sliceCount: number,
): Promise<readonly BlockHash[]> {
  let first: BlockHash[] = [];
  const cut = (): void => {
    first = first.sort().slice(0, sliceCount);
  };
  for await (const hash of listHashesIfThere(folder)) {
    if (hash <= after) continue;
    first.push(hash);
    if (first.length >= 2 * sliceCount) cut();
  }
  cut();
  return first;
}

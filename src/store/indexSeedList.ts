/** The list of seeds on its way to the index, where it can be asked for a path. */
import type { SeedFile } from "../block/ports.js";
import { LIMITS } from "../core/limits.js";
import type { StoreLayout } from "./layout.js";
import { readSeedList, seedListStamp } from "./seedList.js";
import type { StoreIndex } from "./storeIndex.js";

/**
 * Makes the index know the list as it is; at most one statement a line, and none where it did not change.
 *
 * @returns false: the index does not answer
 * @throws ERR_PSYNC_STORE the list cannot be read; the signal's reason
 */
export async function indexSeedList(parts: {
  readonly layout: StoreLayout;
  readonly index: StoreIndex;
  readonly signal: AbortSignal;
}): Promise<boolean> {
  const { layout, index, signal } = parts;
  for (;;) {
    const stamp = await seedListStamp(layout);
    const state = await index.readSeeds((rows) => rows.listState());
    if (!state) return false;
    if (state.stamp === stamp) return true;
    const round = state.round + 1;
    const add = (batch: readonly SeedFile[]) =>
      index.changeSeeds((rows) => {
        for (const file of batch) rows.list(file, round);
      });
    let batch: SeedFile[] = [];
    for await (const file of readSeedList(layout)) {
      signal.throwIfAborted();
      batch.push(file);
      if (batch.length < LIMITS.seeds.batchCount) continue;
      await add(batch);
      batch = [];
    }
    await add(batch);
    // What another process added meanwhile is read in the next round, before anything is taken for unlisted.
    if ((await seedListStamp(layout)) !== stamp) continue;
    const isDone = await index.changeSeeds((rows) => {
      rows.endRound(stamp, round);
      return true;
    });
    return isDone === true;
  }
}

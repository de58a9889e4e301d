/** A store that is only looked at: on a read-only disk, or another user's. Changes nothing, opens no index. */
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Clock } from "../core/clock.js";
import type { Logger } from "../core/log.js";
import { readClaims } from "./claims.js";
import { createBlockFinder } from "./findBlocks.js";
import { placeFolder, type StoreLayout } from "./layout.js";
import { listHashesIfThere } from "./listBlocks.js";
import { createOpenCalls } from "./openCalls.js";
import type { Store } from "./openStore.js";
import { createUpkeep } from "./upkeep.js";
import { assertStore, isThere } from "./storeFolders.js";
import { lostSeeds } from "./lostSeeds.js";
import { createSeedCalls } from "./seedCalls.js";

export interface ReadOnlyStoreOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * A path where nothing is is a store without blocks; it has those that another process makes there later.
 *
 * @throws ERR_PSYNC_STORE the path is not a store, or cannot be looked at
 */
export async function openReadOnlyStore(options: ReadOnlyStoreOptions): Promise<Store> {
  const { layout, clock, log } = options;
  if (await isThere(layout.path)) await assertStore(layout);
  const finder = createBlockFinder({ layout, clock, log, leavesBad: true });
  const calls = createOpenCalls(layout.path);
  const sizes = new Map<string, number>();
  const refuse = (): Promise<never> =>
    Promise.reject(
      new PsyncError("ERR_PSYNC_STORE", `the store ${layout.path} is open for reading only`, {
        hint: "give a store that can be written with --store",
      }),
    );
  const close = (): Promise<void> => calls.end();
  return {
    path: layout.path,
    blocks: {
      find: (hash) => calls.run(() => finder.find(hash)),
      read: (hash) => calls.run(async () => (await finder.read(hash))?.block),
      keep: refuse,
      pin: refuse,
      sync: refuse,
      claim: refuse,
      // As a cache without room: whoever fetched the block goes on with it.
      cache: () => Promise.resolve(),
      close,
    },
    sizes: {
      get: (digest) => sizes.get(digest),
      set: (digest, sizeBytes) => {
        sizes.set(digest, sizeBytes);
        const [oldest] = sizes.keys();
        if (sizes.size > LIMITS.store.maxListSizes && oldest !== undefined) sizes.delete(oldest);
      },
    },
    // SQLite cannot read an index in a folder that it cannot write (native-notes/better-sqlite3.md, "WAL").
    servers: { load: () => new Map(), save: () => undefined, forget: refuse },
    upkeep: createUpkeep({
      layout,
      finder,
      isReadOnly: true,
      rebuildIndex: refuse,
      changeNote: refuse,
    }),
    // What is known of them is in the index.
    seeds: {
      use(paths) {
        if (paths.length > 0) log.warn("no seeds are used: the store is open for reading only");
        return Promise.resolve();
      },
      exclude: () => undefined,
      lookFor: () => undefined,
      hash: () => Promise.resolve(),
      hashBehind: () => undefined,
      isHashing: () => false,
      lost: () =>
        lostSeeds(layout, createSeedCalls({ clock, log }), () => Promise.resolve("not hashed")),
      begin: () => ({ add: refuse, keep: refuse }),
    },
    restore: refuse,
    list: (place) => listHashesIfThere(placeFolder(layout, place)),
    claimed: () => readClaims(layout),
    startSweep: refuse,
    close,
  };
}

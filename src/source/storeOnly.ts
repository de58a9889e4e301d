/** The local store as a source: what it lacks cannot be had. */
import type { BlockSource, BlockStore } from "../block/ports.js";
import { PsyncError } from "../core/errors.js";

const HINT = "fetch it with `psync get URL LIST`";

/** Besides ERR_PSYNC_BLOCK_NOT_FOUND it throws ERR_PSYNC_CORRUPT, where the only copy was bad. */
export function createStoreSource(store: BlockStore): BlockSource {
  return {
    async fetch({ hash, signal }) {
      signal.throwIfAborted();
      const found = await store.find(hash);
      const block = found && (await store.read(hash));
      if (block) return block;
      // A file of the user's that has other bytes by now is not a copy that was damaged.
      if (found && found.place !== "seed") {
        const problem = `the store's copy of block ${hash} is damaged`;
        throw new PsyncError("ERR_PSYNC_CORRUPT", problem, { hint: HINT });
      }
      throw new PsyncError("ERR_PSYNC_BLOCK_NOT_FOUND", `block ${hash} is not in the store`, {
        hint: HINT,
      });
    },
  };
}

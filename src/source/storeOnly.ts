/** The local store as a source: what it lacks cannot be had. */
import type { BlockSource, BlockStore } from "../block/ports.js";
import { PsyncError } from "../core/errors.js";

export function createStoreSource(store: BlockStore): BlockSource {
  return {
    async fetch({ hash, signal }) {
      signal.throwIfAborted();
      const block = await store.read(hash);
      if (block) return block;
      throw new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", `block ${hash} is not in the store`, {
        hint: "fetch it with `psync get URL LIST`",
      });
    },
  };
}

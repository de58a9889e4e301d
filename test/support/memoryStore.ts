/** A block store in memory, for tests of what stands on one. Two stores over one shelf are like two processes. */
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockPlace, BlockStore } from "../../src/block/ports.js";
import { verifyBlock } from "../../src/block/verify.js";
import { PsyncError } from "../../src/core/errors.js";

/** What the "disk" holds; a test may put wrong bytes there. */
export type MemoryShelf = Map<BlockHash, { place: BlockPlace; bytes: Uint8Array }>;

export function createMemoryStore(shelf: MemoryShelf = new Map()): BlockStore {
  const read: BlockStore["read"] = (hash) => {
    const stored = shelf.get(hash);
    if (!stored) return Promise.resolve(undefined);
    try {
      return Promise.resolve(verifyBlock(hash, stored.bytes));
    } catch {
      shelf.delete(hash);
      return Promise.resolve(undefined);
    }
  };
  return {
    find: (hash) => {
      const stored = shelf.get(hash);
      return Promise.resolve(stored && { place: stored.place, sizeBytes: stored.bytes.length });
    },
    read,
    keep: (blocks) => {
      for (const { hash, bytes } of blocks) shelf.set(hash, { place: "kept", bytes });
      return Promise.resolve();
    },
    pin: async (hash) => {
      const block = await read(hash);
      if (block) shelf.set(hash, { place: "kept", bytes: block.bytes });
      return block !== undefined;
    },
    sync: (hashes) => {
      const lacking = hashes.find((hash) => shelf.get(hash)?.place !== "kept");
      if (lacking === undefined) return Promise.resolve();
      return Promise.reject(new PsyncError("ERR_PSYNC_STORE", `${lacking} is not kept`));
    },
    claim: () => Promise.resolve(),
    cache: ({ hash, bytes }) => {
      if (shelf.get(hash)?.place !== "kept") shelf.set(hash, { place: "cached", bytes });
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

/** The memory store of other tests keeps the same promises as the real one. */
import { createMemoryStore, type MemoryShelf } from "../support/memoryStore.js";
import { describeBlockStore } from "./blockStore.js";

describeBlockStore("the memory store", () => {
  const shelf: MemoryShelf = new Map();
  return Promise.resolve({
    open: () => Promise.resolve(createMemoryStore(shelf)),
    corrupt: (hash) => {
      const stored = shelf.get(hash);
      if (stored) shelf.set(hash, { ...stored, bytes: stored.bytes.map((byte) => byte ^ 1) });
      return Promise.resolve();
    },
    dispose: () => Promise.resolve(),
  });
});

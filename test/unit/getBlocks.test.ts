/** What `get` does with blocks that are there already. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import { LIMITS } from "../../src/core/limits.js";
import { PsyncError } from "../../src/core/errors.js";
import { getBlocks } from "../../src/transfer/getBlocks.js";
import { seededBytes } from "../support/blocks.js";
import { listOf, mapSource } from "../support/lists.js";
import { createManualClock } from "../support/manualClock.js";
import { createMemoryStore } from "../support/memoryStore.js";

/** A store that holds all but the first block of a list, and notes what is synced. */
async function fixture() {
  const { list, blocks } = await listOf(seededBytes("get", 600 * 64), 64);
  const [lacking, ...present] = [...blocks.values()];
  assert.ok(lacking);
  const memory = createMemoryStore();
  await memory.keep(present);
  const batches: (readonly BlockHash[])[] = [];
  const store = {
    ...memory,
    sync: (hashes: readonly BlockHash[]) => {
      batches.push(hashes);
      return memory.sync(hashes);
    },
  };
  const get = (given = store) =>
    getBlocks([{ name: "list", list }], {
      store: given,
      source: mapSource(blocks).source,
      clock: createManualClock(),
      signal: new AbortController().signal,
      force: false,
    });
  return { store, present, batches, get };
}

describe("getBlocks", () => {
  it("KEEP-2: makes every block that is kept already durable, in batches", async () => {
    const { present, batches, get } = await fixture();
    const { presentCount, fetchedCount } = await get();
    assert.deepEqual({ presentCount, fetchedCount }, { presentCount: 599, fetchedCount: 1 });
    assert.deepEqual(batches.flat().sort(), present.map(({ hash }) => hash).sort());
    for (const batch of batches) assert.ok(batch.length <= LIMITS.store.syncBatchCount);
  });

  it("KEEP-2: fails where a block that is kept cannot be made durable", async () => {
    const { store, get } = await fixture();
    const failure = new PsyncError("ERR_PSYNC_STORE", "the disk reports an error");
    await assert.rejects(get({ ...store, sync: () => Promise.reject(failure) }), failure);
  });
});

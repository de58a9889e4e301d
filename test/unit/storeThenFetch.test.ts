import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { BlockSource } from "../../src/block/ports.js";
import { orAbort } from "../../src/core/abort.js";
import { silentLogger } from "../../src/core/log.js";
import { createStoreThenFetch } from "../../src/source/storeThenFetch.js";
import { seededBlock } from "../support/blocks.js";
import { mapSource } from "../support/lists.js";
import { createMemoryStore } from "../support/memoryStore.js";

const NEVER = new AbortController().signal;
const MAX_BYTES = 4096;

function sourceOver(fetcher: BlockSource) {
  const store = createMemoryStore();
  const bytes = 2 * MAX_BYTES;
  const source = createStoreThenFetch({
    store,
    fetcher,
    log: silentLogger,
    blocksInFlight: 2,
    inFlightBytes: bytes,
    storeReadBytes: bytes,
  });
  return { store, source };
}

describe("a block from the store, or else fetched", () => {
  it("READ-3, STORE-4: servers that never answer do not hold up blocks that are in the store", async () => {
    const { store, source } = sourceOver({
      fetch: ({ signal }) => orAbort(new Promise(() => undefined), signal),
    });
    const here = seededBlock("here");
    await store.keep([here]);
    const stop = new AbortController();
    const stalled = Array.from({ length: 20 }, (_value, index) =>
      source.fetch({
        hash: seededBlock(`away ${index}`).hash,
        maxBytes: MAX_BYTES,
        signal: stop.signal,
      }),
    );
    const given = await source.fetch({ hash: here.hash, maxBytes: MAX_BYTES, signal: NEVER });
    assert.deepEqual(given.bytes, here.bytes);
    stop.abort(new Error("enough"));
    for (const outcome of await Promise.allSettled(stalled)) {
      assert.match(outcome.status === "rejected" ? String(outcome.reason) : "", /enough/);
    }
  });

  it("a fetched block is cached behind its reader, and the places of failed fetches are free again", async () => {
    const away = seededBlock("away");
    const { source: fetcher, asked } = mapSource(new Map([[away.hash, away]]));
    const { store, source } = sourceOver(fetcher);
    for (let time = 0; time < 5; time += 1) {
      const { hash } = seededBlock(`nowhere ${time}`);
      await assert.rejects(source.fetch({ hash, maxBytes: MAX_BYTES, signal: NEVER }), /no block/);
    }
    await source.fetch({ hash: away.hash, maxBytes: MAX_BYTES, signal: NEVER });
    await source.settled();
    assert.equal((await store.find(away.hash))?.place, "cached");
    await source.fetch({ hash: away.hash, maxBytes: MAX_BYTES, signal: NEVER });
    assert.equal(asked.filter(({ hash }) => hash === away.hash).length, 1);
  });
});

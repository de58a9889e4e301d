import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { BlockSource } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import { orAbort } from "../../src/core/abort.js";
import { silentLogger } from "../../src/core/log.js";
import { createAhead, WAITED_FOR } from "../../src/core/urgency.js";
import { createStoreThenFetch } from "../../src/source/storeThenFetch.js";
import { seededBlock } from "../support/blocks.js";
import { mapSource } from "../support/lists.js";
import { createMemoryStore } from "../support/memoryStore.js";
import { createGate } from "../support/until.js";

const NEVER = new AbortController().signal;
const MAX_BYTES = 4096;

function sourceOver(fetcher: BlockSource) {
  const store = createMemoryStore();
  const bytes = 2 * MAX_BYTES;
  const source = createStoreThenFetch({
    store,
    fetcher,
    clock: systemClock,
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

  it("AHEAD-2: a read passes read-ahead that waits, which holds nothing that the read needs", async () => {
    const begun: string[] = [];
    const stop = new AbortController();
    const source = createStoreThenFetch({
      store: createMemoryStore(),
      fetcher: {
        fetch: ({ hash, signal }) => {
          begun.push(nameOf(hash));
          return orAbort(new Promise(() => undefined), signal);
        },
      },
      clock: systemClock,
      log: silentLogger,
      blocksInFlight: 4,
      inFlightBytes: 8 * MAX_BYTES,
      storeReadBytes: 2 * MAX_BYTES,
      keptForWaiting: {
        blocksInFlight: 1,
        inFlightBytes: 2 * MAX_BYTES,
        storeReadBytes: MAX_BYTES,
      },
    });
    const names = new Map<string, string>();
    const nameOf = (hash: string): string => names.get(hash) ?? hash;
    const results: Promise<unknown>[] = [];
    const ask = (name: string, urgency = createAhead()) => {
      const { hash } = seededBlock(name);
      names.set(hash, name);
      results.push(source.fetch({ hash, maxBytes: MAX_BYTES, signal: stop.signal, urgency }));
      return urgency;
    };
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    for (let index = 1; index <= 5; index += 1) ask(`ahead ${index}`);
    const wanted = ask("wanted");
    await settled();
    assert.deepEqual(begun, ["ahead 1", "ahead 2", "ahead 3"], "the fourth place is kept");
    wanted.promote();
    await settled();
    assert.deepEqual(begun.slice(3), ["wanted"], "what is promoted takes the kept place");
    ask("reader").promote();
    await settled();
    assert.equal(begun.length, 4, "all places are taken by what is under way");
    stop.abort(new Error("enough"));
    for (const outcome of await Promise.allSettled(results)) {
      assert.equal(outcome.status, "rejected");
    }
  });

  it("AHEAD-2: blocks read ahead from the store leave room for a read", async () => {
    const store = createMemoryStore();
    const reading: string[] = [];
    const gate = createGate();
    const source = createStoreThenFetch({
      store: {
        ...store,
        read: async (hash) => {
          reading.push(hash);
          await gate.passed;
          return store.read(hash);
        },
      },
      fetcher: mapSource(new Map()).source,
      clock: systemClock,
      log: silentLogger,
      blocksInFlight: 1,
      inFlightBytes: MAX_BYTES,
      storeReadBytes: 2 * MAX_BYTES,
      keptForWaiting: { blocksInFlight: 0, inFlightBytes: 0, storeReadBytes: MAX_BYTES },
    });
    const blocks = ["ahead 1", "ahead 2", "reader"].map((name) => seededBlock(name));
    await store.keep(blocks);
    const results = blocks.map(({ hash }, index) => {
      const urgency = index < 2 ? createAhead() : WAITED_FOR;
      return source.fetch({ hash, maxBytes: MAX_BYTES, signal: NEVER, urgency });
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(reading, [blocks[0]?.hash, blocks[2]?.hash]);
    gate.open();
    assert.deepEqual(await Promise.all(results), blocks);
  });
});

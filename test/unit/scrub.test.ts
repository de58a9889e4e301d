/** A store checked in idle time, on a clock that is moved by hand. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockSource } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { createAhead } from "../../src/core/urgency.js";
import { watchReaders } from "../../src/source/watchReaders.js";
import type { Store, StoreOptions } from "../../src/store/openStore.js";
import { startScrub, type ScrubParts } from "../../src/store/scrub.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { mapSource } from "../support/lists.js";
import { createManualClock, type ManualClock } from "../support/manualClock.js";
import { createLineLog, flipBit, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { createGate, until } from "../support/until.js";

const MIB = 2 ** 20;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const START_UNIX_MS = 1_800_000_000_000;

interface Look {
  readonly hash: BlockHash;
  readonly atMs: number;
}

/** A store of which every look at a block is noted. */
function watched(store: Store, clock: ManualClock) {
  const looks: Look[] = [];
  const upkeep: Store["upkeep"] = {
    ...store.upkeep,
    judge: (place, hash) => {
      looks.push({ hash, atMs: clock.nowMs() });
      return store.upkeep.judge(place, hash);
    },
  };
  return { looks, store: { ...store, upkeep } };
}

async function fixture(t: CleanUpContext, options: Partial<StoreOptions> = {}) {
  const path = await tempFolder(t);
  const kept = [1, 2, 3, 4].map((number) => makeBlock(number, 64 * 1024));
  const cached = [5, 6, 7].map((number) => makeBlock(number, 64 * 1024));
  const first = await openTestStore(t, path);
  await first.blocks.keep(kept);
  for (const block of cached) await first.blocks.cache(block);
  await first.close();
  const clock = createManualClock();
  const store = await openTestStore(t, path, options);
  const log = createLineLog();
  /** Starts it, and lets the time before its begin go by unless another one is given. */
  const start = (parts: Partial<ScrubParts> = {}, goneMs = MINUTE_MS) => {
    const seen = watched(store, clock);
    const scrub = startScrub({
      store: seen.store,
      source: undefined,
      readers: { waitingCount: 0, lastEndedMs: -Infinity },
      clock,
      nowUnixMs: () => START_UNIX_MS + clock.nowMs(),
      log,
      ...parts,
    });
    cleanUp(t, () => scrub.close());
    clock.advance(goneMs);
    return { ...seen, scrub };
  };
  /** Lets the time go on in small steps until something is so. */
  const advanceUntil = (what: string, condition: () => boolean, stepMs = 1) =>
    until(what, () => {
      if (condition()) return true;
      clock.advance(stepMs);
      return false;
    });
  const order = [kept, cached].flatMap((blocks) => blocks.map(({ hash }) => hash).sort());
  return { path, kept, cached, clock, store, log, start, advanceUntil, order };
}

function blockMap(blocks: readonly VerifiedBlock[]): ReadonlyMap<BlockHash, VerifiedBlock> {
  return new Map(blocks.map((block) => [block.hash, block]));
}

describe("scrubbing", () => {
  it("SCRUB-1: looks at every block once, kept ones first, at no more than 8 MiB a second", async (t) => {
    const { clock, start, advanceUntil, order } = await fixture(t);
    const { looks } = start({}, MINUTE_MS - 1);
    await new Promise(setImmediate);
    assert.equal(looks.length, 0);
    await advanceUntil("all blocks were looked at", () => looks.length === order.length);
    assert.deepEqual(
      looks.map(({ hash }) => hash),
      order,
    );
    for (const [i, { atMs }] of looks.entries()) {
      const before = looks[i - 1];
      // 64 KiB at 8 MiB a second; the clock moves a millisecond a step.
      if (before) assert.ok(atMs - before.atMs >= (64 * 1024 * 1000) / (8 * MIB) - 1);
    }
    clock.advance(2 * 60 * MINUTE_MS);
    await advanceUntil("a day went by", () => clock.nowMs() > DAY_MS, 30 * MINUTE_MS);
    assert.equal(looks.length, order.length);
    await advanceUntil("the next pass", () => looks.length === 2 * order.length, MINUTE_MS * 30);
    assert.ok(clock.nowMs() >= 14 * DAY_MS);
  });

  it("SCRUB-1: goes on after a restart where it was, also in another process's place", async (t) => {
    const { start, advanceUntil, order } = await fixture(t);
    const first = start();
    await advanceUntil("three blocks were looked at", () => first.looks.length >= 3);
    await first.scrub.close();
    const count = first.looks.length;
    const second = start();
    await advanceUntil(
      "the others were looked at",
      () => count + second.looks.length >= order.length,
    );
    const seen = [...first.looks, ...second.looks].map(({ hash }) => hash);
    // What was being looked at when it ended may be looked at again.
    assert.deepEqual([...new Set(seen)], order);
    assert.ok(seen.length <= order.length + 1);
  });

  it("SCRUB-1: of two on one store only one checks", async (t) => {
    const { start, advanceUntil, order } = await fixture(t);
    const first = start();
    const second = start();
    const count = (): number => first.looks.length + second.looks.length;
    await advanceUntil("all blocks were looked at", () => count() >= order.length);
    assert.equal(Math.min(first.looks.length, second.looks.length), 0);
  });

  it("SCRUB-1: leaves a store that is open for reading only alone", async (t) => {
    const { clock, start } = await fixture(t, { readOnly: true });
    const { looks, scrub } = start();
    clock.advance(30 * DAY_MS);
    await scrub.close();
    assert.equal(looks.length, 0);
  });

  it("SCRUB-2: waits while a read is waited for, and a second longer, but not for read-ahead", async (t) => {
    const { clock, start, advanceUntil, order, kept } = await fixture(t);
    const gate = createGate();
    const slow: BlockSource = {
      fetch: async () => {
        await gate.passed;
        return kept[0] ?? assert.fail();
      },
    };
    const readers = watchReaders(slow, clock);
    const request = {
      hash: order[0] ?? assert.fail(),
      maxBytes: 1,
      signal: new AbortController().signal,
    };
    const ahead = readers.fetch({ ...request, urgency: createAhead() });
    assert.equal(readers.waitingCount, 0);
    const { looks } = start({ readers });
    await advanceUntil("it began", () => looks.length > 0);
    const reading = readers.fetch(request);
    assert.equal(readers.waitingCount, 1);
    // One that was begun may be finished.
    for (let step = 0; step < 50; step += 1) {
      clock.advance(100);
      await new Promise(setImmediate);
    }
    const count = looks.length;
    assert.ok(count <= 2);
    clock.advance(MINUTE_MS);
    await new Promise(setImmediate);
    assert.equal(looks.length, count);
    gate.open();
    await Promise.all([reading, ahead]);
    const endedMs = clock.nowMs();
    await advanceUntil("it went on", () => looks.length > count);
    assert.ok((looks[count]?.atMs ?? 0) >= endedMs + 1000);
  });

  it("SCRUB-2: has a bad kept block again and keeps it; a cached one is set aside", async (t) => {
    const { path, start, advanceUntil, kept, cached, log, order } = await fixture(t);
    const [bad, badCached] = [kept[1], cached[1]];
    assert.ok(bad && badCached);
    await flipBit(join(path, "blocks", bad.hash));
    await flipBit(join(path, "cache", badCached.hash));
    const { source, asked } = mapSource(blockMap([bad, badCached]));
    const { looks, store } = start({ source });
    await advanceUntil("a pass", () => looks.length >= order.length + 2);
    assert.deepEqual(
      asked.map(({ hash }) => hash),
      [bad.hash],
    );
    assert.ok((await store.upkeep.judge("kept", bad.hash)).kind === "good");
    assert.ok(!existsSync(join(path, "cache", badCached.hash)));
    const aside = await readdir(join(path, "quarantine"));
    assert.deepEqual(
      aside.map((name) => name.split(".")[0]).sort(),
      [bad.hash, badCached.hash].sort(),
    );
    assert.ok(log.lines.some((line) => line.includes(`kept block ${bad.hash} was bad`)));
  });

  it("SCRUB-2: asks once an hour for a kept block that nobody had, whoever set it aside", async (t) => {
    const { path, clock, start, advanceUntil, store, kept } = await fixture(t);
    const lost = kept[2];
    assert.ok(lost);
    await flipBit(join(path, "blocks", lost.hash));
    assert.equal(await store.blocks.read(lost.hash), undefined);
    const known = new Map<BlockHash, VerifiedBlock>();
    const { source, asked } = mapSource(known);
    start({ source });
    await advanceUntil("it was asked for", () => asked.length > 0, 1000);
    known.set(lost.hash, lost);
    const fromMs = clock.nowMs();
    await advanceUntil("it is kept again", () => existsSync(join(path, "blocks", lost.hash)), 1000);
    assert.ok(clock.nowMs() - fromMs <= 61 * MINUTE_MS);
    await until(
      "it is not marked as lost any more",
      async () => (await store.upkeep.lostBlocks()).length === 0,
    );
  });

  it("SCRUB-2: ends at once when it is told to, also while servers stall", async (t) => {
    const { path, start, advanceUntil, kept, store } = await fixture(t);
    const hash = kept[0]?.hash ?? assert.fail();
    await flipBit(join(path, "blocks", hash));
    let askedCount = 0;
    const stalling: BlockSource = {
      fetch: ({ signal }) => {
        askedCount += 1;
        return new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reject(new Error("ended"));
          });
        });
      },
    };
    const { scrub } = start({ source: stalling });
    await advanceUntil("it is asked for", () => askedCount > 0);
    await scrub.close();
    await store.close();
  });
});

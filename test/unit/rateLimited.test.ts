/** What a limit on the rate does to the fetches of a set of servers, on simulated time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { BlockHash } from "../../src/block/hash.js";
import type { ServerRecord } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { isPsyncError } from "../../src/core/errors.js";
import { LIMITS } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { createRateLimiter } from "../../src/core/rateLimiter.js";
import { createAhead, type Urgency } from "../../src/core/urgency.js";
import type { HttpServer } from "../../src/fetch/httpServer.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { createStoreThenFetch } from "../../src/source/storeThenFetch.js";
import { getBlocks } from "../../src/transfer/getBlocks.js";
import { seededBlock, seededBytes } from "../support/blocks.js";
import { listOf } from "../support/lists.js";
import { createMemoryStore } from "../support/memoryStore.js";
import { createPacedServer, type PacedAnswer } from "../support/pacedServer.js";
import { SEED } from "../support/seed.js";
import { createEventClock, drive, type EventClock } from "../support/simulation/eventClock.js";

const KIB = 1024;
const BLOCK_BYTES = 256 * KIB;
const { signal: NEVER } = new AbortController();
const BLOCKS = Array.from({ length: 24 }, (_, nth) => seededBlock(`rate ${nth}`, BLOCK_BYTES));
const BYTES = new Map<BlockHash, Uint8Array>(BLOCKS.map(({ hash, bytes }) => [hash, bytes]));

function blockAt(nth: number): VerifiedBlock {
  const block = BLOCKS[nth];
  assert.ok(block);
  return block;
}

/** Gives every block at this speed, as the disturbance says. */
function serverOf(
  clock: EventClock,
  parts: {
    readonly name: string;
    readonly bytesPerSecond: number;
    readonly change?: (answer: PacedAnswer) => PacedAnswer;
    readonly onSent?: (sizeBytes: number) => void;
  },
) {
  const { name, bytesPerSecond, change = (answer: PacedAnswer) => answer, onSent } = parts;
  return createPacedServer({
    name,
    clock,
    ...(onSent ? { onSent } : {}),
    answer: ({ hash }) => {
      const bytes = BYTES.get(hash);
      return bytes && change({ bytes, bytesPerSecond });
    },
  });
}

function limitedSet(
  clock: EventClock,
  servers: readonly HttpServer[],
  bytesPerSecond: number,
  onRecords: (records: ReadonlyMap<string, ServerRecord>) => void = () => undefined,
) {
  const set = createServerSet({
    servers,
    clock,
    log: silentLogger,
    rateLimiter: createRateLimiter({ bytesPerSecond, clock }),
    unixMs: () => clock.nowMs(),
    records: { load: () => new Map(), save: onRecords },
  });
  const fetch = (nth: number, more: { signal?: AbortSignal; urgency?: Urgency } = {}) =>
    set.fetch({ hash: blockAt(nth).hash, maxBytes: BLOCK_BYTES, signal: NEVER, ...more });
  return { set, fetch };
}

async function run<T>(clock: EventClock, work: Promise<T>): Promise<T> {
  let isDone = false;
  work.then(
    () => (isDone = true),
    () => (isDone = true),
  );
  assert.equal(await drive(clock, { isDone: () => isDone, endMs: clock.nowMs() + 1e7 }), "done");
  return work;
}

describe("servers under a limited rate", () => {
  it("RATE-1: blocks come at the line's speed with pauses between, at the rate on average, and servers keep their own speed", async () => {
    const clock = createEventClock();
    let records: ReadonlyMap<string, ServerRecord> = new Map();
    const server = serverOf(clock, { name: "a", bytesPerSecond: 10e6 });
    const { set, fetch } = limitedSet(clock, [server], 100e3, (saved) => (records = saved));
    await run(clock, Promise.all(BLOCKS.map((_, nth) => fetch(nth))));
    const idealMs = ((BLOCKS.length - 1) * BLOCK_BYTES * 1000) / 100e3 - LIMITS.rate.burstMs;
    assert.ok(clock.nowMs() >= idealMs, `${clock.nowMs()} of ${idealMs} ms`);
    assert.ok(clock.nowMs() <= idealMs + 1_000, `${clock.nowMs()} of ${idealMs} ms`);
    await set.close();
    const speed = records.get("a")?.bytesPerSecond ?? 0;
    assert.ok(speed > 5e6, `${speed} B/s`);
    assert.equal(records.get("a")?.failedFraction, 0);
  });

  it(`RATE-1: all bytes count, also of lies, halves and lost races (seed ${SEED})`, async () => {
    const change = fc.constantFrom("none", "lie", "break", "drip");
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 50_000, max: 5_000_000 }),
        fc.array(fc.tuple(fc.integer({ min: 100_000, max: 10_000_000 }), change), {
          minLength: 1,
          maxLength: 4,
        }),
        async (limitBytesPerSecond, plans) => {
          const clock = createEventClock();
          let sentBytes = 0;
          const onSent = (sizeBytes: number): void => {
            sentBytes += sizeBytes;
          };
          const servers = plans.map(([bytesPerSecond, kind], nth) =>
            serverOf(clock, {
              name: `${nth} ${kind}`,
              bytesPerSecond,
              onSent,
              change: (answer) => {
                if (kind === "lie") return { ...answer, bytes: new Uint8Array(BLOCK_BYTES) };
                if (kind === "break") return { ...answer, breaksAtBytes: BLOCK_BYTES - 1 };
                return kind === "drip" ? { ...answer, bytesPerSecond: 20 * KIB } : answer;
              },
            }),
          );
          const rateLimiter = createRateLimiter({ bytesPerSecond: limitBytesPerSecond, clock });
          const set = createServerSet({ servers, clock, log: silentLogger, rateLimiter });
          const fetches = BLOCKS.map(({ hash }) =>
            set.fetch({ hash, maxBytes: BLOCK_BYTES, signal: NEVER }),
          );
          await run(clock, Promise.allSettled(fetches));
          await set.close();
          // Whoever comes next waits until all that ever came is paid for.
          await run(clock, rateLimiter.take(1, { signal: NEVER }));
          const leastMs = (sentBytes * 1000) / limitBytesPerSecond - LIMITS.rate.burstMs;
          assert.ok(clock.nowMs() >= leastMs - 1, `${sentBytes} bytes by ${clock.nowMs()} ms`);
        },
      ),
      { seed: SEED, numRuns: 40 },
    );
  });

  it("RATE-1: a server that drips is given up as without a limit", async () => {
    const clock = createEventClock();
    const drip = serverOf(clock, { name: "drip", bytesPerSecond: 20 * KIB });
    const good = serverOf(clock, { name: "good", bytesPerSecond: 10e6 });
    const { fetch } = limitedSet(clock, [drip, good], 1e6);
    for (const nth of BLOCKS.keys()) {
      const beginMs = clock.nowMs();
      await run(clock, fetch(nth));
      assert.ok(clock.nowMs() - beginMs < 6_000, `block ${nth}: ${clock.nowMs() - beginMs} ms`);
    }
    assert.ok(drip.askedAtMs.length < 6, `asked ${drip.askedAtMs.length} times`);
  });

  it("RATE-2: a read passes what is read ahead, however much of that waits; promoted, it goes on", async () => {
    const clock = createEventClock();
    const server = serverOf(clock, { name: "a", bytesPerSecond: 10e6 });
    const { set } = limitedSet(clock, [server], 50e3);
    const { read, memory } = LIMITS;
    const source = createStoreThenFetch({
      store: createMemoryStore(),
      fetcher: set,
      clock,
      log: silentLogger,
      blocksInFlight: read.blocksInFlight,
      inFlightBytes: memory.inFlightBytes,
      storeReadBytes: memory.storeReadBytes,
      keptForWaiting: {
        blocksInFlight: read.blocksKeptForWaiting,
        inFlightBytes: memory.inFlightKeptForWaitingBytes,
        storeReadBytes: memory.storeReadKeptForWaitingBytes,
      },
    });
    const came: string[] = [];
    const ask = (nth: number, name: string, urgency?: Urgency): Promise<void> =>
      source
        .fetch({
          hash: blockAt(nth).hash,
          maxBytes: BLOCK_BYTES,
          signal: NEVER,
          ...(urgency ? { urgency } : {}),
        })
        .then(() => {
          came.push(name);
        });
    await run(clock, ask(0, "first"));
    const urgencies = Array.from({ length: 16 }, () => createAhead());
    const ahead = urgencies.map((urgency, nth) => ask(nth + 1, `ahead ${nth}`, urgency));
    await run(clock, new Promise<void>((resolve) => clock.after(1_000, resolve)));
    const beginMs = clock.nowMs();
    await run(clock, Promise.all([20, 21].map((nth) => ask(nth, `read ${nth}`))));
    // Two blocks take 5.2 s each.
    assert.ok(clock.nowMs() - beginMs < 11_000, `${clock.nowMs() - beginMs} ms`);
    urgencies[9]?.promote();
    await run(clock, Promise.all(ahead));
    assert.equal(came.slice(0, 5).join(), "first,read 20,read 21,ahead 9,ahead 0");
  });

  it("RATE-2: who gives up while waiting asks nobody and leaves its turn to the next", async () => {
    const clock = createEventClock();
    const server = serverOf(clock, { name: "a", bytesPerSecond: 10e6 });
    const { fetch } = limitedSet(clock, [server], 100e3);
    await run(clock, fetch(0));
    const controller = new AbortController();
    const leaving = fetch(1, { signal: controller.signal });
    const staying = fetch(2);
    controller.abort(new Error("gone"));
    await assert.rejects(leaving, /gone/);
    await run(clock, staying);
    assert.equal(server.askedAtMs.length, 2);
    assert.ok(clock.nowMs() < 3_000, `${clock.nowMs()} ms`);
  });

  it("a set that closes ends who waits for the rate, and leaves no timer", async () => {
    const clock = createEventClock();
    const server = serverOf(clock, { name: "a", bytesPerSecond: 10e6 });
    const { set, fetch } = limitedSet(clock, [server], 1_000);
    await run(clock, fetch(0));
    const waiting = fetch(1);
    await set.close();
    await assert.rejects(waiting, (error) => isPsyncError(error, "ERR_PSYNC_INTERRUPTED"));
    assert.equal(clock.pendingCount(), 0);
  });

  it("RATE-1: get tries every block, however long it waited for its turn to be told that one is nowhere", async () => {
    const clock = createEventClock();
    // Of the first block there is a copy, of the last too, and of 70 between them none.
    const { list, blocks } = await listOf(seededBytes("lacking", 72 * 4 * KIB), 4 * KIB);
    const hashes = [list.hashAt(0), list.hashAt(list.blockCount - 1)];
    const server = createPacedServer({
      name: "a",
      clock,
      answer: ({ hash }) => {
        const block = hashes.includes(hash) ? blocks.get(hash) : undefined;
        return block && { bytes: block.bytes, bytesPerSecond: 10e6 };
      },
    });
    const { set } = limitedSet(clock, [server], 1_000);
    const totals = await run(
      clock,
      getBlocks([{ name: "list", list }], {
        store: createMemoryStore(),
        source: set,
        clock,
        signal: NEVER,
        force: false,
      }),
    );
    assert.equal(totals.notTriedCount, 0);
    assert.equal(totals.fetchedCount, 2);
  });
});

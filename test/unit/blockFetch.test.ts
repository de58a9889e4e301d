import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { abortReason, orAbort } from "../../src/core/abort.js";
import { isPsyncError } from "../../src/core/errors.js";
import { LIMITS } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { createAhead, GivenUpAhead } from "../../src/core/urgency.js";
import type { HttpServer } from "../../src/fetch/httpServer.js";
import { failed, type FetchOutcome } from "../../src/fetch/outcome.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { withSingleFlight } from "../../src/source/singleFlight.js";
import { seededBlock } from "../support/blocks.js";
import { createManualClock, type ManualClock } from "../support/manualClock.js";
import { serverRecord } from "../support/serverRecords.js";
import { createLineLog } from "../support/storeFixtures.js";

const block = seededBlock("a", 3000);
const MIB = 1 << 20;

/** A server that never ends an answer, and says how many requests wait for one. */
function endless(name: string) {
  let waiting = 0;
  const server: HttpServer = {
    name,
    async fetchBytes({ signal }, onReceived) {
      waiting += 1;
      onReceived?.(0);
      try {
        return await orAbort(new Promise<never>(() => undefined), signal);
      } finally {
        waiting -= 1;
      }
    },
    close: () => Promise.resolve(),
  };
  return { server, waiting: () => waiting };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("a fetch whose servers never end", () => {
  it("FETCH-1: ends all the same, and leaves nothing under way", async () => {
    const clock = createManualClock();
    const servers = [endless("a"), endless("b"), endless("c")];
    const set = createServerSet({
      servers: servers.map(({ server }) => server),
      clock,
      log: silentLogger,
      patienceMs: LIMITS.fetch.getPatienceMs,
    });
    const request = { hash: block.hash, maxBytes: 2 * MIB, signal: new AbortController().signal };
    let error: unknown;
    void set.fetch(request).catch((thrown: unknown) => {
      error = thrown;
    });
    const lastMs =
      LIMITS.fetch.getPatienceMs + (request.maxBytes * 1000) / LIMITS.fetch.slowBytesPerSecond;
    for (let stepMs = 0; stepMs < lastMs; stepMs += 500) {
      await turns();
      assert.equal(error, undefined, `at ${stepMs} ms`);
      assert.ok(servers.reduce((sum, { waiting }) => sum + waiting(), 0) <= 2);
      clock.advance(500);
    }
    await turns();
    assert.ok(isPsyncError(error, "ERR_PSYNC_BLOCK_UNAVAILABLE"));
    for (const { waiting } of servers) assert.equal(waiting(), 0);
    for (const { requestsUnderWay } of set.status()) assert.equal(requestsUnderWay, 0);
    await set.close();
  });

  it("ends at once when nobody wants it any more", async () => {
    const { server, waiting } = endless("a");
    const set = createServerSet({
      servers: [server],
      clock: createManualClock(),
      log: silentLogger,
    });
    const controller = new AbortController();
    const fetching = set.fetch({ hash: block.hash, maxBytes: MIB, signal: controller.signal });
    fetching.catch(() => undefined);
    await turns();
    assert.equal(waiting(), 1);
    controller.abort(new Error("gone"));
    await assert.rejects(fetching, abortReason(controller.signal));
    await turns();
    assert.equal(waiting(), 0);
    assert.equal(set.status()[0]?.requestsUnderWay, 0);
    await set.close();
  });

  it("SERVERS-3: tells what each server did also when it is ended", async () => {
    const { server } = endless("a");
    const clock = createManualClock();
    const told: (readonly string[])[] = [];
    const log = createLineLog();
    const set = createServerSet({
      servers: [server],
      clock,
      log,
      explain: (_hash, lines) => told.push(lines),
    });
    const controller = new AbortController();
    const fetching = set.fetch({ hash: block.hash, maxBytes: MIB, signal: controller.signal });
    await turns();
    clock.advance(700);
    controller.abort(new Error("gone"));
    await assert.rejects(fetching, abortReason(controller.signal));
    await turns();
    assert.deepEqual(told, [["a: given up after 700 ms"]]);
    assert.deepEqual(log.lines, [`debug a: given up after 700 ms (block ${block.hash})`]);
    await set.close();
  });
});

describe("FETCH-2: a lie that comes in the turn of the right block", () => {
  it("is not forgotten", async () => {
    const clock = createManualClock();
    const answers = new Map<string, (bytes: Uint8Array) => void>();
    const answering = (name: string): HttpServer => ({
      name,
      fetchBytes: () =>
        new Promise((resolve) => {
          answers.set(name, (bytes) => {
            resolve({ type: "bytes", bytes, endMarked: true });
          });
        }),
      close: () => Promise.resolve(),
    });
    const servers = ["honest", "liar"].map(answering);
    const set = createServerSet({ servers, clock, log: silentLogger });
    const { signal } = new AbortController();
    const fetching = set.fetch({ hash: block.hash, maxBytes: MIB, signal });
    await turns();
    clock.advance(LIMITS.fetch.raceFirstMs);
    await turns();
    assert.equal(answers.size, 2);
    answers.get("liar")?.(new Uint8Array(3000));
    answers.get("honest")?.(block.bytes);
    assert.equal((await fetching).hash, block.hash);
    assert.deepEqual(
      set.status().map(({ state }) => state),
      ["ready", "banned"],
    );
    await set.close();
  });
});

describe("RACE-1: a block that may be far longer than it is", () => {
  it("is late when one of the length that is expected would be", async () => {
    const clock = createManualClock();
    const blocks = Array.from({ length: 20 }, (_none, nth) => seededBlock(`quick ${nth}`, 2 * MIB));
    const stalled = endless("");
    const quick = (name: string): HttpServer => ({
      ...stalled.server,
      name,
      async fetchBytes(request, onReceived) {
        const asked = blocks.find(({ hash }) => hash === request.hash);
        if (!asked) return stalled.server.fetchBytes(request);
        await new Promise<void>((resolve) => clock.after(10, resolve));
        onReceived?.(0);
        await new Promise<void>((resolve) => clock.after(190, resolve));
        onReceived?.(asked.bytes.length);
        return { type: "bytes", bytes: asked.bytes, endMarked: true };
      },
    });
    const servers = ["a", "b"].map(quick);
    const set = createServerSet({ servers, clock, log: silentLogger });
    const { signal } = new AbortController();
    const request = { maxBytes: 64 * MIB, expectedBytes: 2 * MIB, signal };
    for (const { hash } of blocks) {
      const fetching = set.fetch({ ...request, hash });
      await turns();
      clock.advance(10);
      await turns();
      clock.advance(190);
      await fetching;
    }
    const fetching = set.fetch({ ...request, hash: block.hash });
    fetching.catch(() => undefined);
    await turns();
    clock.advance(400);
    await turns();
    assert.equal(stalled.waiting(), 2);
    await set.close();
  });
});

describe("RANK-1: a second server that is asked in a race", () => {
  it("is no try: it is one that is known", async () => {
    const clock = createManualClock();
    const asked: string[] = [];
    const blocks = Array.from({ length: LIMITS.fetch.tryEveryRequests - 1 }, (_none, nth) =>
      seededBlock(`known ${nth}`, MIB),
    );
    const servers = ["first", "second", "new"].map((name): HttpServer => {
      const { server } = endless(name);
      return {
        ...server,
        async fetchBytes(request, onReceived) {
          asked.push(name);
          const known = blocks.find(({ hash }) => hash === request.hash);
          if (!known) return server.fetchBytes(request);
          await new Promise<void>((resolve) => clock.after(30, resolve));
          onReceived?.(1000);
          await new Promise<void>((resolve) => clock.after(10, resolve));
          onReceived?.(known.bytes.length);
          return bytesOf(known);
        },
      };
    });
    const parts = { askedUnixMs: 0, notFoundFraction: 0 };
    const known = new Map([
      ["first", serverRecord({ ...parts, bytesPerSecond: MIB })],
      ["second", serverRecord({ ...parts, bytesPerSecond: MIB / 2 })],
    ]);
    const set = createServerSet({
      servers,
      clock,
      log: silentLogger,
      records: { load: () => known, save: () => undefined },
      unixMs: () => 0,
    });
    const request = { maxBytes: MIB, signal: new AbortController().signal };
    for (const { hash } of blocks) {
      const fetching = set.fetch({ ...request, hash });
      for (const stepMs of [30, 10]) {
        await turns();
        clock.advance(stepMs);
      }
      await fetching;
    }
    set.fetch({ ...request, hash: block.hash }).catch(() => undefined);
    await turns();
    assert.deepEqual(asked, Array(LIMITS.fetch.tryEveryRequests).fill("first"));
    clock.advance(LIMITS.fetch.raceLastMs);
    await turns();
    assert.deepEqual(asked.slice(LIMITS.fetch.tryEveryRequests), ["second"]);
    await set.close();
  });
});

/** A server that answers as it is told, and the last way again and again. */
function scripted(...answers: readonly (() => Promise<FetchOutcome>)[]) {
  let askedCount = 0;
  const server: HttpServer = {
    name: "a",
    fetchBytes() {
      const answer = answers[Math.min(askedCount, answers.length - 1)];
      askedCount += 1;
      assert.ok(answer);
      return answer();
    },
    close: () => Promise.resolve(),
  };
  return { server, askedCount: () => askedCount };
}

const refuses = (): Promise<FetchOutcome> => Promise.resolve(failed("refused", "refused"));
const gives = (): Promise<FetchOutcome> => Promise.resolve(bytesOf(block));

function bytesOf({ bytes }: { readonly bytes: Uint8Array }): FetchOutcome {
  return { type: "bytes", bytes, endMarked: true };
}

const REQUEST = { hash: block.hash, maxBytes: MIB, signal: new AbortController().signal };

describe("AHEAD-2: a fetch begun ahead", () => {
  it("is given up where every server rests, and asks none of them", async () => {
    const clock = createManualClock();
    const { server, askedCount } = scripted(refuses, refuses, refuses, gives);
    const log = createLineLog();
    const set = createServerSet({ servers: [server], clock, log });
    for (let nth = 1; nth <= 5; nth += 1) {
      await assert.rejects(set.fetch({ ...REQUEST, urgency: createAhead() }), (error) => {
        assert.ok(error instanceof GivenUpAhead);
        return isPsyncError(error.cause, "ERR_PSYNC_BLOCK_UNAVAILABLE");
      });
      assert.equal(askedCount(), Math.min(nth, LIMITS.fetch.failuresBeforeRest));
    }
    assert.equal(set.status()[0]?.state, "resting");
    const warnings = log.lines.filter((line) => !line.startsWith("debug"));
    assert.equal(warnings.length, 1, "of the rest, and of no block");
    const reading = set.fetch(REQUEST);
    clock.advance(LIMITS.fetch.maxRoundPauseMs);
    assert.equal((await reading).hash, block.hash);
    await set.close();
  });

  const { patienceMs, slowBytesPerSecond } = LIMITS.fetch;
  const overdueMs = patienceMs + (MIB * 1000) / slowBytesPerSecond;
  /** What its server does, how many fetches ahead fail before it, and when it is given up. */
  const situations = [
    { why: "its server rests", answers: () => [refuses, refuses, refuses, gives], failures: 3 },
    { why: "its server has just failed", answers: () => [refuses, gives] },
    {
      why: "it takes too long",
      answers: (clock: ManualClock) => [
        async () => {
          await new Promise<void>((resolve) => clock.after(overdueMs + 500, resolve));
          return gives();
        },
        gives,
      ],
      afterMs: overdueMs,
    },
  ];

  for (const { why, answers, failures = 0, afterMs = 0 } of situations) {
    /** What comes of one that somebody comes to need so many microtasks after it is to be given up, because of `why`. */
    const outcomesAfter = async (microtaskCount: number, how: "promoted" | "joined") => {
      const clock = createManualClock();
      const { server } = scripted(...answers(clock));
      const set = createServerSet({ servers: [server], clock, log: silentLogger });
      for (let nth = 0; nth < failures; nth += 1) {
        await assert.rejects(set.fetch({ ...REQUEST, urgency: createAhead() }), GivenUpAhead);
      }
      const flights = withSingleFlight(set, { clock, failureMemoryMs: 5000 });
      const outcomes: unknown[] = [];
      const note = (fetching: Promise<unknown>): void => {
        fetching.then(
          () => outcomes.push("block"),
          (error: unknown) => outcomes.push(error),
        );
      };
      const urgency = createAhead();
      note((how === "joined" ? flights : set).fetch({ ...REQUEST, urgency }));
      if (afterMs > 0) await turns();
      clock.advance(afterMs);
      for (let nth = 0; nth < microtaskCount; nth += 1) await Promise.resolve();
      if (how === "joined") note(flights.fetch(REQUEST));
      else urgency.promote();
      for (let nth = 0; nth < 5; nth += 1) {
        await turns();
        clock.advance(1000);
      }
      await turns();
      await set.close();
      return outcomes.map((one) => (one instanceof GivenUpAhead ? "given up" : one));
    };

    it(`is patient, or is given up, when somebody comes in the moment in which ${why}`, async () => {
      const seen: unknown[] = [];
      for (let count = 0; count < 30; count += 1) {
        seen.push(...(await outcomesAfter(count, "promoted")));
      }
      const givenUpFrom = seen.indexOf("given up");
      const expected = seen.map((_one, at) => (at < givenUpFrom ? "block" : "given up"));
      assert.ok(givenUpFrom > 0);
      assert.deepEqual(seen, expected);
    });

    it(`never fails a reader that comes in the moment in which ${why}`, async () => {
      const seen: unknown[] = [];
      for (let count = 0; count < 30; count += 1) {
        const outcomes = await outcomesAfter(count, "joined");
        assert.ok(outcomes.includes("block"), `after ${count} microtasks: ${String(outcomes)}`);
        seen.push(...outcomes.filter((one) => one !== "block"));
      }
      assert.deepEqual([...new Set(seen)], ["given up"]);
    });
  }
});

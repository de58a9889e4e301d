import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { BlockRequest, BlockSource } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { systemClock, type Clock } from "../../src/core/clock.js";
import { PsyncError } from "../../src/core/errors.js";
import { createAhead, GivenUpAhead, type Urgency } from "../../src/core/urgency.js";
import { withSingleFlight } from "../../src/source/singleFlight.js";
import { seededBlock } from "../support/blocks.js";
import { createManualClock } from "../support/manualClock.js";

const block = seededBlock("a");
const NEVER = new AbortController().signal;

/** A source whose answers the test gives. */
function heldSource() {
  const calls: {
    readonly request: BlockRequest;
    readonly resolve: (block: VerifiedBlock) => void;
    readonly reject: (error: Error) => void;
  }[] = [];
  const source: BlockSource = {
    fetch: (request) =>
      new Promise((resolve, reject) => {
        calls.push({ request, resolve, reject });
      }),
  };
  const call = (index: number) => {
    const found = calls[index];
    assert.ok(found, `call ${index} was not made`);
    return found;
  };
  return { source, calls, call };
}

function flightsOver(source: BlockSource, time?: Clock) {
  const clock = createManualClock();
  const flights = withSingleFlight(source, { clock: time ?? clock, failureMemoryMs: 5000 });
  const fetch = (signal = NEVER, maxBytes = 4096) =>
    flights.fetch({ hash: block.hash, maxBytes, signal });
  const fetchWith = (more: { signal?: AbortSignal; urgency?: Urgency; via?: string[] }) =>
    flights.fetch({ hash: block.hash, maxBytes: 4096, signal: NEVER, ...more });
  return { clock, fetch, fetchWith };
}

/** Lets everything run that needs no answer. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("one flight a block", () => {
  it("READ-4: readers of one block share one fetch", async () => {
    const { source, calls } = heldSource();
    const { fetch } = flightsOver(source);
    const readers = [fetch(), fetch(), fetch()];
    assert.equal(calls.length, 1);
    calls[0]?.resolve(block);
    for (const reader of readers) assert.equal(await reader, block);
  });

  it("READ-4: a reader that gives up drops only itself; the last one ends the flight", async () => {
    const { source, calls } = heldSource();
    const { fetch } = flightsOver(source);
    const first = new AbortController();
    const second = new AbortController();
    const one = fetch(first.signal);
    const two = fetch(second.signal);
    first.abort(new Error("first left"));
    await assert.rejects(one, /first left/);
    const isEnded = () => calls[0]?.request.signal.aborted;
    assert.equal(isEnded(), false);
    second.abort(new Error("second left"));
    await assert.rejects(two, /second left/);
    assert.equal(isEnded(), true);
    // Whoever comes now must not wait for the flight that was ended.
    const three = fetch();
    assert.equal(calls.length, 2);
    calls[1]?.resolve(block);
    assert.equal(await three, block);
  });

  it("READ-4: a block nobody had is answered from memory for 5 s, then asked for again", async () => {
    const { source, calls } = heldSource();
    const { clock, fetch } = flightsOver(source);
    const failing = fetch();
    calls[0]?.reject(new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", "nobody"));
    await assert.rejects(failing, /nobody/);
    clock.advance(4999);
    await assert.rejects(fetch(), /nobody/);
    assert.equal(calls.length, 1);
    clock.advance(1);
    const again = fetch();
    assert.equal(calls.length, 2);
    calls[1]?.resolve(block);
    assert.equal(await again, block);
  });

  it("LIST-2: a list that names a wrong block size does not fail the reads of others", async () => {
    const { source, calls } = heldSource();
    const { fetch } = flightsOver(source);
    const bad = fetch(NEVER, 10);
    calls[0]?.reject(new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", "too long"));
    await assert.rejects(bad, /too long/);
    const good = fetch(NEVER, 4096);
    calls[1]?.resolve(block);
    assert.equal(await good, block);
  });

  it("an error that is not about the block is not remembered", async () => {
    const { source, calls } = heldSource();
    const { fetch } = flightsOver(source);
    const failing = fetch();
    calls[0]?.reject(new Error("odd"));
    await assert.rejects(failing, /odd/);
    const again = fetch();
    calls[1]?.resolve(block);
    assert.equal(await again, block);
  });

  it("AHEAD-2: a flight begun ahead is promoted when a reader joins it, and not by another read-ahead", async () => {
    const { source, calls, call } = heldSource();
    const { fetch, fetchWith } = flightsOver(source);
    const ahead = [fetchWith({ urgency: createAhead() }), fetchWith({ urgency: createAhead() })];
    const isUrgent = () => call(0).request.urgency?.isWaitedFor;
    let toldCount = 0;
    call(0).request.urgency?.onPromoted(() => {
      toldCount += 1;
    });
    assert.equal(isUrgent(), false);
    const readers = [fetch(), fetch()];
    assert.equal(isUrgent(), true);
    assert.equal(toldCount, 1);
    assert.equal(calls.length, 1);
    call(0).resolve(block);
    for (const waiting of [...ahead, ...readers]) assert.equal(await waiting, block);
  });

  it("AHEAD-2: a flight is promoted when a request that joined it is", async () => {
    const { source, call } = heldSource();
    const { fetchWith } = flightsOver(source);
    const first = createAhead();
    const second = createAhead();
    const leaving = new AbortController();
    const one = fetchWith({ urgency: first, signal: leaving.signal });
    const two = fetchWith({ urgency: second });
    leaving.abort(new Error("left"));
    await assert.rejects(one, /left/);
    first.promote();
    assert.equal(call(0).request.urgency?.isWaitedFor, false, "the first one has left");
    second.promote();
    assert.equal(call(0).request.urgency?.isWaitedFor, true);
    call(0).resolve(block);
    assert.equal(await two, block);
  });

  it("AHEAD-2: a failure that nobody waited for is not remembered: a reader starts its own fetch", async () => {
    const { source, calls, call } = heldSource();
    const { fetch, fetchWith } = flightsOver(source);
    const ahead = fetchWith({ urgency: createAhead() });
    call(0).reject(new GivenUpAhead("no patience"));
    await assert.rejects(ahead, GivenUpAhead);
    const reader = fetch();
    assert.equal(calls.length, 2);
    call(1).reject(new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", "nobody"));
    await assert.rejects(reader, /nobody/);
    await assert.rejects(fetchWith({ urgency: createAhead() }), /nobody/);
    assert.equal(calls.length, 2, "a reader's failure is remembered, for read-ahead too");
  });

  for (const [which, clock] of [
    ["stands still", createManualClock()],
    ["goes on", systemClock],
  ] as const) {
    it(`AHEAD-2: readers that come when a flight has been given up share the next one, while the clock ${which}`, async () => {
      const { source, calls, call } = heldSource();
      const { fetch, fetchWith } = flightsOver(source, clock);
      const ahead = fetchWith({ urgency: createAhead() });
      call(0).reject(new GivenUpAhead("nobody answers at once"));
      const leaving = new AbortController();
      const promoted = createAhead();
      const readers = [fetch(), fetch(), fetchWith({ urgency: promoted })];
      const left = fetch(leaving.signal);
      promoted.promote();
      leaving.abort(new Error("left"));
      await assert.rejects(left, /left/);
      await assert.rejects(ahead, GivenUpAhead);
      readers.push(fetch());
      await turn();
      assert.equal(calls.length, 2);
      assert.equal(call(1).request.urgency?.isWaitedFor, true);
      call(1).resolve(block);
      for (const reader of readers) assert.equal(await reader, block);
      await turn();
      assert.equal(calls.length, 2);
    });
  }

  it("AHEAD-2: what ends a flight that took the place of one given up is told to all, and remembered", async () => {
    const { source, calls, call } = heldSource();
    const { fetch, fetchWith } = flightsOver(source);
    const ahead = fetchWith({ urgency: createAhead() });
    call(0).reject(new GivenUpAhead("nobody answers at once"));
    const readers = [fetch(), fetch()];
    await assert.rejects(ahead, GivenUpAhead);
    await turn();
    call(1).reject(new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", "nobody"));
    for (const reader of readers) await assert.rejects(reader, /nobody/);
    await assert.rejects(fetch(), /nobody/);
    assert.equal(calls.length, 2);
  });

  it("READ-4: a reader that leaves does not end what another one asked for ahead", async () => {
    const { source, call } = heldSource();
    const { fetch, fetchWith } = flightsOver(source);
    const ahead = fetchWith({ urgency: createAhead() });
    const leaving = new AbortController();
    const reader = fetch(leaving.signal);
    leaving.abort(new Error("left"));
    await assert.rejects(reader, /left/);
    assert.equal(call(0).request.signal.aborted, false);
    call(0).resolve(block);
    assert.equal(await ahead, block);
  });

  it("the psyncs that the first request came through are passed on", async () => {
    const { source, call } = heldSource();
    const { fetchWith } = flightsOver(source);
    const waiting = [fetchWith({ via: ["one", "two"] }), fetchWith({ via: ["three"] })];
    assert.deepEqual(call(0).request.via, ["one", "two"]);
    call(0).resolve(block);
    await Promise.all(waiting);
  });
});

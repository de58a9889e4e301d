import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { BlockRequest, BlockSource } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { PsyncError } from "../../src/core/errors.js";
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
  return { source, calls };
}

function flightsOver(source: BlockSource) {
  const clock = createManualClock();
  const flights = withSingleFlight(source, { clock, failureMemoryMs: 5000 });
  const fetch = (signal = NEVER, maxBytes = 4096) =>
    flights.fetch({ hash: block.hash, maxBytes, signal });
  return { clock, fetch };
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
});

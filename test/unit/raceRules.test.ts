import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRaceBudget } from "../../src/fetch/raceBudget.js";
import { raceStep, type RaceState, type Running } from "../../src/fetch/raceRules.js";

const limits = { standstillMs: 2000, raceLookMs: 500 };
const MAX_BYTES = 1000;

function request(facts: Partial<Running> = {}): Running {
  return {
    startMs: 0,
    lateAtMs: 1000,
    firstByteMs: undefined,
    receivedBytes: 0,
    lastByteAtMs: 0,
    ...facts,
  };
}

function step(running: readonly Running[], state: Partial<RaceState<Running>> = {}) {
  return raceStep(
    {
      running,
      nowMs: 0,
      isWaitedFor: true,
      expectedBytes: MAX_BYTES,
      hopelessMs: 10_000,
      maySecond: true,
      hasPaid: false,
      canPay: () => true,
      isPaidFor: false,
      ...state,
    },
    limits,
  );
}

const second = (reserveBytes: number) => ({ type: "second", reserveBytes });
const SECOND = second(MAX_BYTES);
const wait = (untilMs: number) => ({ type: "wait", untilMs });

describe("RACE-1: when a second server is asked", () => {
  it("when the first is late, and somebody waits", () => {
    assert.deepEqual(step([request()], { nowMs: 999 }), wait(1000));
    assert.deepEqual(step([request()], { nowMs: 1000 }), SECOND);
    assert.deepEqual(step([request()], { nowMs: 1000, isWaitedFor: false }), wait(Infinity));
  });

  it("not where there is no other, nor a third", () => {
    assert.deepEqual(step([request()], { nowMs: 1000, maySecond: false }), wait(1500));
    assert.deepEqual(step([request(), request()], { nowMs: 1000, isPaidFor: true }), wait(1500));
  });

  it("where the budget has its bytes, or the first has none or is far too slow", () => {
    const begun = request({ firstByteMs: 10, receivedBytes: 400, lastByteAtMs: 1000 });
    const canPay = () => false;
    assert.deepEqual(step([begun], { nowMs: 1000 }), SECOND);
    assert.deepEqual(step([begun], { nowMs: 1000, canPay }), wait(1500));
    assert.deepEqual(step([begun], { nowMs: 1000, hasPaid: true }), wait(1500));
    assert.deepEqual(step([request()], { nowMs: 1000, canPay }), second(0));
    // 600 of 1,000 bytes in 10 s are enough to be done soon; 40 are not, and it has had its time.
    const drips = (receivedBytes: number) =>
      request({ firstByteMs: 10, receivedBytes, lastByteAtMs: 9999 });
    assert.deepEqual(step([drips(600)], { nowMs: 10_000, canPay }), wait(10_500));
    assert.deepEqual(step([drips(40)], { nowMs: 9999, canPay }), wait(10_499));
    assert.deepEqual(step([drips(40)], { nowMs: 10_000, canPay }), second(0));
    const stalled = { ...begun, lastByteAtMs: 900 };
    assert.deepEqual(step([stalled], { nowMs: 2899, canPay }), wait(3399));
    assert.deepEqual(step([stalled], { nowMs: 2900, canPay }), second(0));
    const little = (bytes: number) => bytes <= 332;
    const dripping = request({ firstByteMs: 0, receivedBytes: 166, lastByteAtMs: 2000 });
    assert.deepEqual(step([dripping], { nowMs: 2000, canPay: little }), second(332));
    assert.deepEqual(step([dripping], { nowMs: 2000, canPay }), wait(2500));
    const slow = request({ firstByteMs: 0, receivedBytes: 167, lastByteAtMs: 2000 });
    assert.deepEqual(step([slow], { nowMs: 2000, canPay: little }), wait(2500));
  });
});

describe("who is cut off of two", () => {
  const begun = request({ firstByteMs: 10, lastByteAtMs: 1000 });
  const silent = request();
  const state = { nowMs: 1000 };

  it("nobody where the race is paid for", () => {
    assert.deepEqual(step([begun, silent], { ...state, isPaidFor: true }), wait(1500));
  });

  it("else the one that has nothing, once the other has", () => {
    assert.deepEqual(step([silent, begun], state), { type: "lost", loser: silent });
    assert.deepEqual(step([begun, silent], state), { type: "lost", loser: silent });
    assert.deepEqual(step([silent, request()], state), wait(1500));
  });

  it("one that is far too slow, once it is overtaken", () => {
    const slow = request({ firstByteMs: 10, receivedBytes: 100, lastByteAtMs: 1000 });
    const later = (receivedBytes: number) =>
      request({
        startMs: 2900,
        lateAtMs: 4000,
        firstByteMs: 10,
        receivedBytes,
        lastByteAtMs: 3000,
      });
    assert.deepEqual(step([slow, later(100)], { nowMs: 3000 }), wait(3500));
    assert.deepEqual(step([slow, later(101)], { nowMs: 3000 }), { type: "lost", loser: slow });
    const well = { ...slow, receivedBytes: 900, lastByteAtMs: 3000 };
    const second = later(100);
    assert.deepEqual(step([well, second], { nowMs: 3000 }), { type: "lost", loser: second });
  });

  it("the one behind, for another server, where both are far too slow", () => {
    const slow = request({ firstByteMs: 10, receivedBytes: 5, lastByteAtMs: 1000 });
    const worse = request({ firstByteMs: 10, receivedBytes: 4, lastByteAtMs: 1000 });
    assert.deepEqual(step([slow, worse], { nowMs: 3000 }), { type: "replace", slow: worse });
    assert.deepEqual(step([slow, worse], { nowMs: 3000, maySecond: false }), wait(3500));
  });
});

describe("RACE-2: what races may cost", () => {
  const budget = () => createRaceBudget({ raceExtraFraction: 0.05, raceAllowanceBlocks: 2 });

  it("is two blocks at the start, and then a twentieth of what was of use", () => {
    const subject = budget();
    const take = () => subject.canReserve(100, 100) && subject.reserve(100);
    assert.ok(take());
    assert.ok(take());
    assert.ok(!take());
    subject.noteUseful(1999);
    assert.ok(!take());
    subject.noteUseful(1);
    assert.ok(take());
    assert.ok(!take());
  });

  it("what was set aside and not used is there again", () => {
    const subject = budget();
    const pay = subject.reserve(100);
    subject.reserve(100);
    assert.equal(subject.canReserve(1, 100), false);
    pay(40);
    assert.equal(subject.canReserve(60, 100), true);
    assert.equal(subject.canReserve(61, 100), false);
    subject.noteWasted(1);
    assert.equal(subject.canReserve(60, 100), false);
  });
});

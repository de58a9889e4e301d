import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRaceBudget } from "../../src/fetch/raceBudget.js";
import { raceStep, type RaceState, type Running } from "../../src/fetch/raceRules.js";

const limits = { hopelessAfterMs: 2000, hopelessMs: 10_000, raceLookMs: 500 };
const MAX_BYTES = 1000;

function request(facts: Partial<Running> = {}): Running {
  return { startMs: 0, lateAtMs: 1000, firstByteMs: undefined, receivedBytes: 0, ...facts };
}

function step(running: readonly Running[], state: Partial<RaceState<Running>> = {}) {
  return raceStep(
    {
      running,
      nowMs: 0,
      isWaitedFor: true,
      maxBytes: MAX_BYTES,
      maySecond: true,
      canPay: true,
      isPaidFor: false,
      ...state,
    },
    limits,
  );
}

const SECOND = { type: "second" };
const wait = (untilMs: number) => ({ type: "wait", untilMs });

describe("RACE-1: when a second server is asked", () => {
  it("when the first is late, and somebody waits", () => {
    assert.deepEqual(step([request()], { nowMs: 999 }), wait(1000));
    assert.deepEqual(step([request()], { nowMs: 1000 }), SECOND);
    assert.deepEqual(step([request()], { nowMs: 1000, isWaitedFor: false }), wait(Infinity));
  });

  it("once a block", () => {
    assert.deepEqual(step([request()], { nowMs: 1000, maySecond: false }), wait(1500));
    assert.deepEqual(step([request(), request()], { nowMs: 1000, isPaidFor: true }), wait(1500));
  });

  it("where the budget has its bytes, or none came from the first so far", () => {
    const begun = request({ firstByteMs: 10, receivedBytes: 900 });
    assert.deepEqual(step([begun], { nowMs: 1000 }), SECOND);
    assert.deepEqual(step([begun], { nowMs: 1000, canPay: false }), wait(1500));
    assert.deepEqual(step([request()], { nowMs: 1000, canPay: false }), SECOND);
  });

  it("the first byte decides where it is not paid for", () => {
    const begun = request({ firstByteMs: 10 });
    const silent = request();
    const state = { nowMs: 1000, maySecond: false };
    assert.deepEqual(step([silent, begun], state), { type: "lost", loser: silent });
    assert.deepEqual(step([begun, silent], state), { type: "lost", loser: silent });
    assert.deepEqual(step([silent, request()], state), wait(1500));
    assert.deepEqual(step([begun, silent], { ...state, isPaidFor: true }), wait(1500));
  });
});

describe("when a request is given up for another", () => {
  const state = { nowMs: 3000, maySecond: false };

  it("when it would take far longer than a block may", () => {
    const dripping = request({ firstByteMs: 1000, receivedBytes: 20 });
    assert.deepEqual(step([dripping], state), { type: "hopeless", slow: dripping });
    assert.deepEqual(step([request()], state), { type: "hopeless", slow: request() });
    const steady = request({ firstByteMs: 1000, receivedBytes: 500 });
    assert.deepEqual(step([steady], state), wait(3500));
  });

  it("not before it had its time, nor while the other of a race is good", () => {
    assert.deepEqual(step([request()], { ...state, nowMs: 1999 }), wait(2499));
    const steady = request({ firstByteMs: 1000, receivedBytes: 500 });
    assert.deepEqual(step([request(), steady], { ...state, isPaidFor: true }), wait(3500));
    assert.deepEqual(step([request({ lateAtMs: 9000 })], state), wait(9000));
  });
});

describe("RACE-2: what races may cost", () => {
  const budget = () => createRaceBudget({ raceExtraFraction: 0.05, raceAllowanceBlocks: 2 });

  it("is two blocks at the start, and then a twentieth of what was of use", () => {
    const subject = budget();
    assert.ok(subject.reserve(100));
    assert.ok(subject.reserve(100));
    assert.equal(subject.reserve(100), undefined);
    subject.noteUseful(1999);
    assert.equal(subject.reserve(100), undefined);
    subject.noteUseful(1);
    assert.ok(subject.reserve(100));
    assert.equal(subject.canReserve(100), false);
  });

  it("what was set aside and not used is there again", () => {
    const subject = budget();
    const pay = subject.reserve(100);
    subject.reserve(100);
    assert.equal(subject.canReserve(100), false);
    pay?.(40);
    assert.equal(subject.canReserve(100), false);
    assert.equal(subject.canReserve(60), false, "two blocks of this length are allowed");
    subject.noteUseful(800);
    assert.ok(subject.canReserve(100));
    subject.noteWasted(1);
    assert.equal(subject.canReserve(100), false);
  });
});

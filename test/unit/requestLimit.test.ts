import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRequestLimit, type RequestLimit } from "../../src/fetch/requestLimit.js";

const MAX = 32;

/** Answers come at the rate that the server gives at the limit in force, as many under way as are allowed. */
function serve(limit: RequestLimit, rateAt: (requests: number) => number, answers: number): void {
  for (let nth = 0; nth < answers; nth += 1) {
    const requests = limit.current();
    clockMs += 1000 / rateAt(requests);
    limit.noteBlock({ bytes: 1000, underWay: requests, nowMs: clockMs });
  }
}
let clockMs = 0;

function createSubject(first = 6): RequestLimit {
  return createRequestLimit({ first, max: MAX, nowMs: clockMs });
}

describe("RANK-2: how many requests a server is given at once", () => {
  it("grows to the most while more bring more, within a few windows", () => {
    const limit = createSubject();
    serve(limit, (requests) => 10 * requests, 6 + (5 + 12) + (11 + 24) + 6);
    assert.equal(limit.current(), MAX);
    serve(limit, (requests) => 10 * requests, 4000);
    assert.ok(limit.current() >= MAX * 0.75);
  });

  it("stays about where more bring no more", () => {
    const limit = createSubject();
    const seen: number[] = [];
    for (let round = 0; round < 60; round += 1) {
      serve(limit, (requests) => 10 * Math.min(requests, 6), 50);
      seen.push(limit.current());
    }
    const late = seen.slice(20);
    assert.ok(Math.max(...late) <= 12, late.join());
    assert.ok(Math.min(...late) >= 4, late.join());
  });

  it("shrinks where fewer bring as much", () => {
    const limit = createSubject(16);
    serve(limit, () => 100, 3000);
    assert.ok(limit.current() <= 6, String(limit.current()));
  });

  it("follows a server that gets more room", () => {
    const limit = createSubject();
    serve(limit, () => 100, 3000);
    serve(limit, (requests) => 10 * requests, 6000);
    assert.ok(limit.current() >= 16, String(limit.current()));
  });

  it("halves when the server is overloaded, once for what failed together", () => {
    const limit = createSubject(16);
    serve(limit, () => 100, 200);
    const before = limit.current();
    limit.noteOverload(clockMs);
    const halved = limit.current();
    assert.equal(halved, Math.max(6, Math.floor(before / 2)));
    for (let nth = 0; nth < 5; nth += 1) limit.noteOverload(clockMs);
    assert.equal(limit.current(), halved);
  });

  it("says nothing where less is asked for than allowed", () => {
    const limit = createSubject();
    for (let nth = 0; nth < 200; nth += 1) {
      clockMs += 1;
      limit.noteBlock({ bytes: 1000, underWay: 1, nowMs: clockMs });
    }
    assert.equal(limit.current(), 6);
  });

  it("is never below six, nor above the most", () => {
    assert.equal(createSubject(0.2).current(), 6);
    assert.equal(createSubject(1000).current(), MAX);
    assert.equal(createRequestLimit({ first: 4, max: 1, nowMs: 0 }).current(), 1);
  });
});

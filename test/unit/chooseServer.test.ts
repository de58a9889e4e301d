import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseServer, type Candidate, type Choice } from "../../src/fetch/chooseServer.js";

function candidate(server: string, facts: Partial<Candidate> = {}): Candidate {
  return {
    server,
    standing: { type: "ready" },
    notBeforeMs: -Infinity,
    probeAtMs: -Infinity,
    underWay: 0,
    requestLimit: 4,
    expectedMs: 10,
    firstByteMs: 1,
    failedFraction: 0,
    notFoundFraction: 0,
    askedMs: 0,
    ...facts,
  };
}

const RESTING = { standing: { type: "resting", forMs: 1000 } } as const;
const NEW = { expectedMs: undefined, firstByteMs: undefined, askedMs: -Infinity } as const;

function choose(
  candidates: readonly Candidate[],
  more: { nowMs?: number; isWaitedFor?: boolean; mayTry?: boolean; giveUpAtMs?: number } = {},
): Choice {
  return chooseServer({
    candidates,
    nowMs: 0,
    isWaitedFor: true,
    giveUpAtMs: 1000,
    mayTry: false,
    tryAfterMs: 60_000,
    goodMs: 5000,
    ...more,
  });
}

const ask = (server: string, isTry = false): Choice => ({ type: "ask", server, isTry });
const waitUntil = (untilMs: number): Choice => ({ type: "wait", untilMs });
const NOBODY: Choice = { type: "nobody" };

describe("RANK-1: whom to ask next", () => {
  it("the fastest, and of equals the first configured", () => {
    assert.deepEqual(choose([candidate("a"), candidate("b", { expectedMs: 9 })]), ask("b"));
    assert.deepEqual(choose([candidate("a"), candidate("b")]), ask("a"));
  });

  it("equals in turn, as their places fill", () => {
    assert.deepEqual(choose([candidate("a", { underWay: 1 }), candidate("b")]), ask("b"));
    const more = candidate("b", { underWay: 2, requestLimit: 16 });
    assert.deepEqual(choose([candidate("a", { underWay: 1 }), more]), ask("b"));
  });

  it("one that fails often, or has little, only where it is that much faster", () => {
    const failing = candidate("a", { failedFraction: 0.5 });
    assert.deepEqual(choose([failing, candidate("b", { expectedMs: 15 })]), ask("b"));
    assert.deepEqual(choose([failing, candidate("b", { expectedMs: 25 })]), ask("a"));
    const poor = candidate("a", { notFoundFraction: 0.9, firstByteMs: 5 });
    assert.deepEqual(choose([poor, candidate("b", { expectedMs: 40 })]), ask("b"));
  });

  it("a slower one while the fastest is full, and none that is much slower", () => {
    const full = candidate("a", { underWay: 4 });
    assert.deepEqual(choose([full, candidate("b", { expectedMs: 40 })]), ask("b"));
    assert.deepEqual(choose([full, candidate("b", { expectedMs: 60 })]), waitUntil(Infinity));
  });

  it("new ones where nobody is known, or the known ones are full", () => {
    assert.deepEqual(choose([candidate("a", NEW), candidate("b", NEW)]), ask("a"));
    assert.deepEqual(
      choose([candidate("a", { ...NEW, underWay: 1 }), candidate("b", NEW)]),
      ask("b"),
    );
    assert.deepEqual(choose([candidate("a", { underWay: 4 }), candidate("b", NEW)]), ask("b"));
    assert.deepEqual(choose([candidate("a"), candidate("b", NEW)]), ask("a"));
  });

  it("now and then one that is new or was not asked for long, one request at a time", () => {
    const fresh = candidate("b", NEW);
    assert.deepEqual(choose([candidate("a"), fresh], { mayTry: true }), ask("b", true));
    const busy = candidate("b", { ...NEW, underWay: 1 });
    assert.deepEqual(choose([candidate("a"), busy], { mayTry: true }), ask("a"));
    const slow = candidate("b", { expectedMs: 1e6, askedMs: 1 });
    const known = candidate("a", { askedMs: 60_000 });
    assert.deepEqual(choose([known, slow], { mayTry: true, nowMs: 60_000 }), ask("a"));
    assert.deepEqual(choose([known, slow], { mayTry: true, nowMs: 60_001 }), ask("b", true));
    assert.deepEqual(
      choose([fresh], { mayTry: true }),
      ask("b"),
      "where nobody is known it is no try",
    );
  });

  it("nobody, where every one is banned, has said 404 or gave its answer in this fetch", () => {
    const banned = candidate("a", { standing: { type: "banned", forMs: 1 } });
    const without = candidate("b", { standing: { type: "notFound", forMs: 1 } });
    const answered = candidate("c", { notBeforeMs: Infinity });
    assert.deepEqual(choose([banned, without, answered]), NOBODY);
    assert.deepEqual(choose([]), NOBODY);
  });
});

describe("whom to ask when nobody is well", () => {
  it("one that rests only where no other is left, and one request at a time", () => {
    const resting = candidate("a", RESTING);
    assert.deepEqual(choose([resting, candidate("b")]), ask("b"));
    assert.deepEqual(choose([resting, candidate("b", { underWay: 4 })]), waitUntil(Infinity));
    assert.deepEqual(choose([resting]), ask("a"));
    assert.deepEqual(choose([candidate("a", { ...RESTING, underWay: 1 })]), waitUntil(Infinity));
  });

  it("one that rests before one that failed in this fetch is far too slow", () => {
    const slow = candidate("a", { expectedMs: 5001 });
    assert.deepEqual(choose([slow, candidate("b", RESTING)]), ask("b"));
    assert.deepEqual(choose([slow, candidate("b", { ...RESTING, probeAtMs: 9 })]), ask("a"));
    assert.deepEqual(choose([slow, candidate("b", NEW)]), ask("b"));
    assert.deepEqual(choose([slow]), ask("a"));
  });

  it("one that failed in this fetch after all others", () => {
    const failed = candidate("a", { notBeforeMs: 0 });
    assert.deepEqual(choose([failed, candidate("b", { expectedMs: 4000 })]), ask("b"));
    assert.deepEqual(choose([failed, candidate("b", NEW)]), ask("b"));
    assert.deepEqual(choose([failed, candidate("b", RESTING)]), ask("a"));
  });

  it("it is waited for, as long as whoever waits is patient", () => {
    const later = candidate("a", { ...RESTING, probeAtMs: 500 });
    assert.deepEqual(choose([later]), waitUntil(500));
    assert.deepEqual(choose([later], { nowMs: 500 }), ask("a"));
    assert.deepEqual(choose([later], { giveUpAtMs: 500 }), NOBODY);
    const failed = candidate("a", { notBeforeMs: 200 });
    assert.deepEqual(choose([failed, later]), waitUntil(200));
    assert.deepEqual(choose([failed], { nowMs: 1000 }), ask("a"));
    assert.deepEqual(choose([failed], { giveUpAtMs: 100 }), NOBODY);
  });

  it("each is asked once, however short the patience", () => {
    assert.deepEqual(choose([candidate("a", RESTING)], { giveUpAtMs: 0 }), ask("a"));
    const asked = candidate("a", { ...RESTING, notBeforeMs: -1 });
    assert.deepEqual(choose([asked], { giveUpAtMs: 0 }), NOBODY);
  });

  it("AHEAD-2: work ahead leaves a quarter of a server's places to those who wait", () => {
    const three = candidate("a", { underWay: 3 });
    assert.deepEqual(choose([three], { isWaitedFor: false }), waitUntil(Infinity));
    assert.deepEqual(choose([three]), ask("a"));
    const two = candidate("a", { underWay: 2 });
    assert.deepEqual(choose([two], { isWaitedFor: false }), ask("a"));
  });

  it("a new one does not make a known one look slow", () => {
    const known = candidate("a", { expectedMs: 4900 });
    const busy = candidate("b", { ...NEW, underWay: 2, requestLimit: 2 });
    assert.deepEqual(choose([known, busy]), ask("a"));
    assert.deepEqual(choose([known, candidate("b", NEW)]), ask("a"));
  });

  it("work ahead waits for a place, and for no server to get well", () => {
    const ahead = { isWaitedFor: false };
    assert.deepEqual(choose([candidate("a", { underWay: 4 })], ahead), waitUntil(Infinity));
    assert.deepEqual(choose([candidate("a", RESTING)], ahead), NOBODY);
    assert.deepEqual(choose([candidate("a", { notBeforeMs: 200 })], ahead), NOBODY);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LIMITS } from "../../src/core/limits.js";
import { createServerHealth, type Verdict } from "../../src/fetch/serverHealth.js";
import { seededBlock } from "../support/blocks.js";
import { SEED } from "../support/seed.js";

const limits = LIMITS.fetch;
const { hash } = seededBlock("a");
const { hash: otherHash } = seededBlock("b");
const servers = ["a", "b", "c"];

function createSubject() {
  const health = createServerHealth(limits);
  return {
    health,
    ask: (server: string, verdict: Verdict, nowMs: number, about = hash) => {
      health.begin(server);
      return health.end({ server, hash: about, nowMs }, verdict);
    },
    order: (nowMs: number, about = hash) => {
      const among = (type: "ready" | "resting"): string[] =>
        servers.filter((server) => health.standing({ server, hash: about, nowMs }).type === type);
      return [...among("ready"), ...among("resting")];
    },
  };
}

describe("who may be asked", () => {
  it("leaves a 404 out for this block alone, and asks again later", () => {
    const { ask, order } = createSubject();
    ask("a", "notFound", 0);
    assert.deepEqual(order(limits.notFoundMemoryMs - 1), ["b", "c"]);
    assert.deepEqual(order(0, otherHash), ["a", "b", "c"]);
    assert.deepEqual(order(limits.notFoundMemoryMs), ["a", "b", "c"]);
  });

  it("is a resting server only as the last resort, then one probe, then any number", () => {
    const { health, ask, order } = createSubject();
    for (let nth = 1; nth < limits.failuresBeforeRest; nth += 1) {
      assert.equal(ask("a", "failed", 0), undefined);
    }
    assert.deepEqual(order(0), ["a", "b", "c"]);
    assert.deepEqual(ask("a", "failed", 0), { type: "rests", forMs: limits.restMs });
    assert.deepEqual(order(limits.restMs - 1), ["b", "c", "a"]);
    assert.deepEqual(order(limits.restMs), ["a", "b", "c"]);
    health.begin("a");
    assert.deepEqual(order(limits.restMs), ["b", "c", "a"]);
    const end = { server: "a", hash, nowMs: limits.restMs };
    assert.deepEqual(health.end(end, "ok"), { type: "recovered" });
    assert.deepEqual(order(limits.restMs), ["a", "b", "c"]);
  });

  it("rests twice as long after a probe that failed, up to the maximum", () => {
    const { ask } = createSubject();
    const rests: number[] = [];
    let nowMs = 0;
    for (let nth = 0; nth < 12; nth += 1) {
      const change = ask("a", "failed", nowMs);
      if (change?.type !== "rests") continue;
      rests.push(change.forMs);
      nowMs += change.forMs;
    }
    assert.deepEqual(rests.slice(0, 5), [30e3, 60e3, 120e3, 240e3, 300e3]);
    assert.equal(rests.at(-1), limits.maxRestMs);
  });

  it("failures of requests that were under way together are one rest", () => {
    const { ask, order } = createSubject();
    for (let nth = 0; nth < 16; nth += 1) ask("a", "failed", nth);
    assert.deepEqual(order(2 + limits.restMs), ["a", "b", "c"]);
  });

  it("is not a server that lied, for any block, and twice as long the next time", () => {
    const { ask, order } = createSubject();
    assert.deepEqual(ask("a", "lied", 0), { type: "banned", forMs: limits.banMs });
    assert.equal(ask("a", "lied", 1), undefined);
    assert.deepEqual(order(limits.banMs - 1, otherHash), ["b", "c"]);
    assert.deepEqual(order(limits.banMs, otherHash), ["a", "b", "c"]);
    assert.deepEqual(order(limits.banMs), ["b", "c"], "the block it lied about stays out");
    const second = ask("a", "lied", limits.banMs, otherHash);
    assert.deepEqual(second, { type: "banned", forMs: 2 * limits.banMs });
  });

  it("forgives after a time as long as the longest ban", () => {
    const { ask, order } = createSubject();
    ask("a", "lied", 0);
    const later = limits.banMs + limits.maxBanMs;
    assert.deepEqual(order(later), ["a", "b", "c"]);
    assert.deepEqual(ask("a", "lied", later), { type: "banned", forMs: limits.banMs });
  });
});

interface Step {
  readonly server: string;
  readonly verdict: Verdict;
  readonly isOther: boolean;
  readonly waitMs: number;
}

describe("whatever happens to the servers", () => {
  const seed = SEED;
  const step: fc.Arbitrary<Step> = fc.record({
    server: fc.constantFrom(...servers),
    verdict: fc.constantFrom("ok", "notFound", "failed", "lied", "abandoned"),
    isOther: fc.boolean(),
    waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2 * limits.banMs })),
  });
  const run = (steps: readonly Step[]) => {
    const subject = createSubject();
    let nowMs = 0;
    for (const { server, verdict, isOther, waitMs } of steps) {
      subject.ask(server, verdict, nowMs, isOther ? otherHash : hash);
      nowMs += waitMs;
    }
    return { ...subject, nowMs };
  };

  it(`no request is counted after its end (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { health } = run(steps);
        for (const server of servers) assert.equal(health.underWay(server), 0);
      }),
      { seed, numRuns: 100 },
    );
  });

  it(`every server heals by itself (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { order, nowMs } = run(steps);
        assert.deepEqual(order(nowMs + limits.maxBanMs), servers);
      }),
      { seed, numRuns: 300 },
    );
  });

  it(`no rest or ban is longer than its maximum (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { health, nowMs } = run(steps);
        for (const server of servers) {
          const standing = health.serverStanding(server, nowMs);
          if (standing.type === "banned") assert.ok(standing.forMs <= limits.maxBanMs);
          if (standing.type === "resting") assert.ok(standing.forMs <= limits.maxRestMs);
        }
      }),
      { seed, numRuns: 300 },
    );
  });
});

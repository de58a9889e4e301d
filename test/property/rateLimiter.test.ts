import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createRateLimiter } from "../../src/core/rateLimiter.js";
import { createAhead } from "../../src/core/urgency.js";
import { createManualClock } from "../support/manualClock.js";
import { SEED } from "../support/seed.js";

const PAID_AT_ONCE = Promise.resolve();

/** Lets promises settle that wait for nothing else. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

describe("rate limiter", () => {
  it(`RATE-1: over any time no more is paid than the rate, the burst and one payment, and all is paid in the end (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2_000_000 }),
        fc.array(
          fc.record({
            waitMs: fc.integer({ min: 0, max: 3_000 }),
            sizeBytes: fc.integer({ min: 1, max: 65_536 }),
            isAhead: fc.boolean(),
            isAborted: fc.boolean(),
          }),
          { minLength: 1, maxLength: 40 },
        ),
        async (bytesPerSecond, steps) => {
          const clock = createManualClock();
          const burstMs = 250;
          const limiter = createRateLimiter({ bytesPerSecond, clock, limits: { burstMs } });
          const paid: { atMs: number; sizeBytes: number }[] = [];
          let owedCount = 0;
          const sumBytes = steps.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
          const endMs = steps.length * 3_000 + (sumBytes * 1000) / bytesPerSecond + 1_000;
          // The time of a payment is known to one such step.
          const stepMs = Math.max(50, endMs / 500);
          const advance = async (byMs: number): Promise<void> => {
            for (let restMs = byMs; restMs > 0; restMs -= stepMs) {
              clock.advance(Math.min(stepMs, restMs));
              await settle();
            }
          };
          for (const { waitMs, sizeBytes, isAhead, isAborted } of steps) {
            await advance(waitMs);
            const controller = new AbortController();
            const urgency = isAhead ? createAhead() : undefined;
            owedCount += 1;
            const paying = limiter.pay(sizeBytes, { signal: controller.signal, urgency });
            void (paying ?? PAID_AT_ONCE)
              .then(
                () => paid.push({ atMs: clock.nowMs(), sizeBytes }),
                () => undefined,
              )
              .finally(() => (owedCount -= 1));
            if (isAborted) controller.abort(new Error("gave up"));
            await settle();
          }
          while (clock.nowMs() < endMs && owedCount > 0) await advance(stepMs);
          assert.equal(owedCount, 0, "somebody was never served");
          const largestBytes = Math.max(...steps.map(({ sizeBytes }) => sizeBytes));
          paid.forEach((first, from) => {
            let bytes = 0;
            for (const { atMs, sizeBytes } of paid.slice(from)) {
              bytes += sizeBytes;
              const mostBytes = (bytesPerSecond * (atMs - first.atMs + burstMs + stepMs)) / 1000;
              assert.ok(bytes <= mostBytes + largestBytes + 1, `${bytes} by ${atMs} ms`);
            }
          });
        },
      ),
      { seed: SEED, numRuns: 100 },
    );
  });

  const order = async (maxHoldMs: number, promoteAtMs?: number): Promise<string> => {
    const clock = createManualClock();
    const limiter = createRateLimiter({ bytesPerSecond: 1000, clock, limits: { maxHoldMs } });
    const { signal } = new AbortController();
    assert.equal(limiter.pay(1000, { signal }), undefined);
    const served: string[] = [];
    const ahead = createAhead();
    void limiter.pay(1000, { signal, urgency: ahead })?.then(() => served.push("ahead"));
    for (const name of ["first", "second", "third"]) {
      void limiter.pay(1000, { signal })?.then(() => served.push(name));
    }
    for (let nowMs = 0; nowMs < 6_000; nowMs += 100) {
      if (nowMs === promoteAtMs) ahead.promote();
      clock.advance(100);
      await settle();
    }
    return served.join(" ");
  };

  it("RATE-2: what somebody waits for is served before what is fetched ahead", async () => {
    assert.equal(await order(60_000), "first second third ahead");
  });

  it("RATE-2: a read-ahead that somebody comes to wait for, or that was held back for long, goes on", async () => {
    assert.equal(await order(60_000, 1_000), "first ahead second third");
    assert.equal(await order(2_000), "first second ahead third");
  });

  it("what was given up counts all the same, and leaves no timer behind", async () => {
    const clock = createManualClock();
    let timerCount = 0;
    const limiter = createRateLimiter({
      bytesPerSecond: 1000,
      clock: {
        nowMs: () => clock.nowMs(),
        after(delayMs, callback) {
          timerCount += 1;
          const cancel = clock.after(delayMs, () => {
            timerCount -= 1;
            callback();
          });
          return () => {
            timerCount -= 1;
            cancel();
          };
        },
      },
    });
    assert.equal(limiter.pay(500, { signal: new AbortController().signal }), undefined);
    const controller = new AbortController();
    const paying = limiter.pay(2_000, { signal: controller.signal });
    assert.equal(timerCount, 1);
    controller.abort(new Error("gave up"));
    await assert.rejects(paying ?? PAID_AT_ONCE, /gave up/);
    assert.equal(timerCount, 0);
    clock.advance(2_200);
    assert.notEqual(limiter.pay(1, { signal: new AbortController().signal }), undefined);
  });
});

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LIMITS } from "../../src/core/limits.js";
import { createRateLimiter } from "../../src/core/rateLimiter.js";
import { createAhead } from "../../src/core/urgency.js";
import { createManualClock } from "../support/manualClock.js";
import { SEED } from "../support/seed.js";

const { signal: NEVER } = new AbortController();

/** Lets promises settle that wait for nothing else. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

describe("rate limiter", () => {
  it(`RATE-1: over any time no more is taken than the rate, the burst and one block, and all are served in the end (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1_000, max: 2_000_000 }),
        fc.array(
          fc.record({
            waitMs: fc.integer({ min: 0, max: 3_000 }),
            sizeBytes: fc.integer({ min: 1, max: 65_536 }),
            /** What comes of what was taken, as a part of it. */
            cameFraction: fc.double({ min: 0, max: 1.5, noNaN: true }),
            isAhead: fc.boolean(),
            isAborted: fc.boolean(),
          }),
          { minLength: 1, maxLength: 40 },
        ),
        async (bytesPerSecond, steps) => {
          const clock = createManualClock();
          const limiter = createRateLimiter({ bytesPerSecond, clock });
          const came: { atMs: number; sizeBytes: number }[] = [];
          let waitingCount = 0;
          const sumBytes = steps.reduce((sum, { sizeBytes }) => sum + 1.5 * sizeBytes, 0);
          const endMs = steps.length * 3_000 + (sumBytes * 1000) / bytesPerSecond + 1_000;
          // When something came is known to one such step.
          const stepMs = Math.max(50, endMs / 500);
          const advance = async (byMs: number): Promise<void> => {
            for (let restMs = byMs; restMs > 0; restMs -= stepMs) {
              clock.advance(Math.min(stepMs, restMs));
              await settle();
            }
          };
          for (const { waitMs, sizeBytes, cameFraction, isAhead, isAborted } of steps) {
            await advance(waitMs);
            const controller = new AbortController();
            const urgency = isAhead ? createAhead() : undefined;
            waitingCount += 1;
            void limiter
              .take(sizeBytes, { signal: controller.signal, urgency })
              .then(
                () => {
                  limiter.charge(sizeBytes * cameFraction);
                  limiter.giveBack(sizeBytes);
                  came.push({ atMs: clock.nowMs(), sizeBytes: sizeBytes * cameFraction });
                },
                () => undefined,
              )
              .finally(() => (waitingCount -= 1));
            if (isAborted) controller.abort(new Error("gave up"));
            await settle();
          }
          while (clock.nowMs() < endMs && waitingCount > 0) await advance(stepMs);
          assert.equal(waitingCount, 0, "somebody was never served");
          const largestBytes = Math.max(...came.map(({ sizeBytes }) => sizeBytes));
          came.forEach((first, from) => {
            let bytes = 0;
            for (const { atMs, sizeBytes } of came.slice(from)) {
              bytes += sizeBytes;
              const timeMs = atMs - first.atMs + LIMITS.rate.burstMs + stepMs;
              const mostBytes = (bytesPerSecond * timeMs) / 1000 + largestBytes + 1;
              assert.ok(bytes <= mostBytes, `${bytes} by ${atMs} ms`);
            }
          });
        },
      ),
      { seed: SEED, numRuns: 100 },
    );
  });

  const order = async (promoteAtMs?: number): Promise<string> => {
    const clock = createManualClock();
    const limiter = createRateLimiter({ bytesPerSecond: 1000, clock });
    await limiter.take(1000, { signal: NEVER });
    const served: string[] = [];
    const take = (name: string, urgency?: ReturnType<typeof createAhead>): void => {
      void limiter.take(1000, { signal: NEVER, urgency }).then(() => served.push(name));
    };
    const ahead = createAhead();
    take("ahead", ahead);
    for (const name of ["first", "second", "third"]) take(name);
    for (let nowMs = 0; nowMs < 6_000; nowMs += 100) {
      if (nowMs === promoteAtMs) ahead.promote();
      clock.advance(100);
      await settle();
    }
    return served.join(" ");
  };

  it("RATE-2: what somebody waits for is served before what is fetched ahead, until somebody waits for that too", async () => {
    assert.equal(await order(), "first second third ahead");
    assert.equal(await order(1_000), "first ahead second third");
  });

  it("RATE-1: a block larger than the bucket can be taken, and is owed", async () => {
    const clock = createManualClock();
    const limiter = createRateLimiter({ bytesPerSecond: 1000, clock });
    await limiter.take(10_250, { signal: NEVER });
    let isServed = false;
    void limiter.take(1, { signal: NEVER }).then(() => (isServed = true));
    clock.advance(9_900);
    await settle();
    assert.equal(isServed, false);
    clock.advance(200);
    await settle();
    assert.equal(isServed, true);
  });

  it("who gives up waiting leaves the queue, took nothing, and leaves no timer behind", async () => {
    const clock = createManualClock();
    const timers = new Set<symbol>();
    const limiter = createRateLimiter({
      bytesPerSecond: 1000,
      clock: {
        nowMs: () => clock.nowMs(),
        after(delayMs, callback) {
          const timer = Symbol();
          timers.add(timer);
          const cancel = clock.after(delayMs, () => {
            timers.delete(timer);
            callback();
          });
          return () => {
            timers.delete(timer);
            cancel();
          };
        },
      },
    });
    await limiter.take(500, { signal: NEVER });
    const controller = new AbortController();
    const taking = limiter.take(100_000, { signal: controller.signal });
    assert.equal(timers.size, 1);
    controller.abort(new Error("gave up"));
    await assert.rejects(taking, /gave up/);
    assert.equal(timers.size, 0);
    clock.advance(300);
    await limiter.take(1, { signal: NEVER });
  });

  it("what is given back is there at once, and saves up no more than the burst", async () => {
    const clock = createManualClock();
    const limiter = createRateLimiter({ bytesPerSecond: 1000, clock });
    await limiter.take(100_000, { signal: NEVER });
    const next = limiter.take(1_000, { signal: NEVER });
    clock.advance(50_000);
    limiter.giveBack(100_000);
    await next;
    let isServed = false;
    void limiter.take(1, { signal: NEVER }).then(() => (isServed = true));
    clock.advance(700);
    await settle();
    assert.equal(isServed, false);
    clock.advance(100);
    await settle();
    assert.equal(isServed, true);
  });
});

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createLine, type Line } from "../../src/view/line.js";
import { createManualClock, type ManualClock } from "../support/manualClock.js";

const BLOCK_BYTES = 1000;

/**
 * A line on which each block takes the delay, and the blocks one after another the time of sending: keeps so many
 * asked for until so many came.
 */
function run(
  parts: { readonly line: Line; readonly clock: ManualClock },
  options: { delayMs: number; sendingMs: number; atOnce: number; blockCount: number },
): void {
  const { line, clock } = parts;
  const { delayMs, sendingMs, atOnce, blockCount } = options;
  let sentMs = 0;
  let askedCount = 0;
  let cameCount = 0;
  const ask = (): void => {
    if (askedCount === blockCount) return;
    askedCount += 1;
    const ended = line.asked();
    sentMs = Math.max(clock.nowMs(), sentMs) + sendingMs;
    clock.after(sentMs + delayMs - clock.nowMs(), () => {
      cameCount += 1;
      ended(BLOCK_BYTES);
      ask();
    });
  };
  for (let index = 0; index < atOnce; index += 1) ask();
  while (cameCount < blockCount) clock.advance(1);
}

function newLine() {
  const clock = createManualClock();
  return { clock, line: createLine(clock) };
}

describe("what came over the line", () => {
  it("nothing is worthwhile while nothing is known", () => {
    const { line } = newLine();
    assert.equal(line.worthwhileBytes(), 0);
    line.asked()(0);
    assert.equal(line.worthwhileBytes(), 0);
  });

  it("a long line is worth more the more is asked for, until it is full", () => {
    const worth = [16, 32, 64, 128].map((atOnce) => {
      const parts = newLine();
      run(parts, { delayMs: 100, sendingMs: 2, atOnce: 1, blockCount: 1 });
      run(parts, { delayMs: 100, sendingMs: 2, atOnce, blockCount: 400 });
      return Math.round(parts.line.worthwhileBytes() / BLOCK_BYTES);
    });
    // 102 ms hold 51 blocks of 2 ms.
    const [few = 0, more = 0, full = 0, over = 0] = worth;
    assert.ok(few >= 31 && few <= 36, `${few}`);
    assert.ok(more >= 62 && more <= 68, `${more}`);
    assert.ok(full >= 100 && full <= 104, `${full}`);
    assert.ok(over >= 100 && over <= 104, `${over}`);
  });

  it("blocks that are slow only because they wait for one another are worth no more", () => {
    const parts = newLine();
    run(parts, { delayMs: 1, sendingMs: 20, atOnce: 1, blockCount: 1 });
    run(parts, { delayMs: 1, sendingMs: 20, atOnce: 16, blockCount: 400 });
    const blocks = parts.line.worthwhileBytes() / BLOCK_BYTES;
    assert.ok(blocks <= 2.2, `${blocks}`);
  });

  it("what came at once says nothing, and what came late after a pause is not a fast line", () => {
    const parts = newLine();
    run(parts, { delayMs: 1, sendingMs: 1, atOnce: 2, blockCount: 100 });
    assert.equal(parts.line.worthwhileBytes(), 0);
    // One asked for just before the others come: they came in 6 ms, but were on their way for 100.
    const { line, clock } = parts;
    const others = Array.from({ length: 16 }, () => line.asked());
    clock.advance(94);
    const late = line.asked();
    clock.advance(6);
    for (const ended of others) ended(BLOCK_BYTES);
    late(BLOCK_BYTES);
    const bytesPerMs = line.worthwhileBytes() / 2 / 6;
    assert.ok(bytesPerMs <= (17 * BLOCK_BYTES) / 100, `${bytesPerMs}`);
  });

  it("a rate is forgotten within 20 s, the shortest time within 10 minutes", () => {
    const parts = newLine();
    run(parts, { delayMs: 50, sendingMs: 50, atOnce: 1, blockCount: 1 });
    assert.equal(parts.line.worthwhileBytes(), 2 * BLOCK_BYTES);
    parts.clock.advance(20_000);
    assert.equal(parts.line.worthwhileBytes(), 0);
    run(parts, { delayMs: 100, sendingMs: 100, atOnce: 1, blockCount: 1 });
    assert.equal(parts.line.worthwhileBytes(), BLOCK_BYTES, "100 ms are still the shortest");
    parts.clock.advance(600_000);
    run(parts, { delayMs: 100, sendingMs: 100, atOnce: 1, blockCount: 1 });
    assert.equal(parts.line.worthwhileBytes(), 2 * BLOCK_BYTES);
  });
});

/** Trouble that lasts is told in a bounded number of lines, and its end too. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PsyncError } from "../../src/core/errors.js";
import { createTrouble } from "../../src/core/trouble.js";
import { createManualClock } from "../support/manualClock.js";
import { createLineLog } from "../support/storeFixtures.js";

function createTold() {
  const clock = createManualClock();
  const log = createLineLog();
  const trouble = createTrouble({
    clock,
    log,
    failing: "nothing is cached",
    over: "blocks are cached again",
    counted: ["block was not cached", "blocks were not cached"],
  });
  return { clock, lines: log.lines, trouble };
}

describe("DISK-1: trouble that lasts", () => {
  it("is said at once, then once a minute with the number of failures, and when it is over", () => {
    const { clock, lines, trouble } = createTold();
    trouble.worked();
    const error = new PsyncError("ERR_PSYNC_STORE", "the disk is full", { hint: "free space" });
    for (let second = 0; second < 130; second += 1) {
      trouble.failed(error);
      clock.advance(1000);
    }
    for (let time = 0; time < 3; time += 1) trouble.worked();
    assert.deepEqual(lines, [
      "warn nothing is cached: the disk is full (free space)",
      "warn nothing is cached: the disk is full (free space); 60 blocks were not cached since this was last said",
      "warn nothing is cached: the disk is full (free space); 60 blocks were not cached since this was last said",
      "info blocks are cached again; 130 blocks were not cached",
    ]);
  });

  it("that comes and goes with every block makes two lines a minute", () => {
    const { clock, lines, trouble } = createTold();
    for (let second = 0; second < 180; second += 1) {
      trouble.failed(new Error("full"));
      trouble.worked();
      clock.advance(1000);
    }
    assert.equal(lines.length, 6, lines.join("\n"));
  });

  it("that begins again after a quiet time is said at once", () => {
    const { clock, lines, trouble } = createTold();
    trouble.failed(new Error("full"));
    trouble.worked();
    clock.advance(60_000);
    trouble.failed(new Error("full again"));
    assert.equal(lines.at(-1), "warn nothing is cached: full again");
  });
});

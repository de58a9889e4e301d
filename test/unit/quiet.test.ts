import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createQuiet } from "../../src/store/quiet.js";
import { createManualClock } from "../support/manualClock.js";
import { createGate } from "../support/until.js";

describe("what stands back for reads", () => {
  it("SEED-4: waits until no read is under way, however each ends", async () => {
    const quiet = createQuiet(createManualClock());
    await quiet.wait(1000);
    const [first, second] = [createGate(), createGate()];
    const events: string[] = [];
    const reads = [
      quiet.during(() => first.passed),
      quiet
        .during(() => second.passed.then(() => Promise.reject(new Error("no"))))
        .catch(() => undefined),
    ];
    const waited = quiet.wait(1000).then(() => events.push("went on"));
    first.open();
    await reads[0];
    events.push("first is over");
    second.open();
    await Promise.all(reads);
    await waited;
    assert.deepEqual(events, ["first is over", "went on"]);
    await quiet.wait(1000);
  });

  it("SEED-4: goes on after a while also where reads never end", async () => {
    const clock = createManualClock();
    const quiet = createQuiet(clock);
    const gate = createGate();
    const read = quiet.during(() => gate.passed);
    const waited = quiet.wait(1000);
    clock.advance(1000);
    await waited;
    gate.open();
    await read;
  });
});

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createAheadBudget, type AheadShare } from "../../src/view/aheadBudget.js";
import { createManualClock } from "../support/manualClock.js";

const MINUTE_MS = 60_000;
const never = (): never => assert.fail("the share was given up");

function takeAll(share: AheadShare, sizeBytes: number): number {
  let count = 0;
  while (share.take(sizeBytes)) count += 1;
  return count;
}

function budgetOf(maxBytes: number) {
  const clock = createManualClock();
  return { clock, budget: createAheadBudget({ clock, maxBytes }) };
}

describe("the budget of read-ahead", () => {
  it("AHEAD-2: one reader may use all of it, and what it gives back again", () => {
    const { budget } = budgetOf(16);
    const share = budget.join(never);
    assert.equal(takeAll(share, 2), 8);
    share.give(2);
    assert.equal(takeAll(share, 2), 1);
    share.leave();
    share.leave();
    assert.equal(share.take(2), false, "one that left takes nothing");
    share.give(2);
    assert.equal(takeAll(budget.join(never), 2), 8);
  });

  it("AHEAD-2: readers have equal shares; one that has more gets nothing until it has less", () => {
    const { budget } = budgetOf(16);
    const first = budget.join(never);
    assert.equal(takeAll(first, 2), 8);
    const second = budget.join(never);
    assert.equal(second.take(2), false, "used up is used up");
    for (let index = 0; index < 4; index += 1) first.give(2);
    assert.equal(first.take(2), false);
    assert.equal(takeAll(second, 2), 4);
    first.give(2);
    assert.equal(takeAll(first, 2), 1);
  });

  it("AHEAD-1: a block larger than a share is granted where there is room for it", () => {
    const { budget } = budgetOf(16);
    const [first, second] = [budget.join(never), budget.join(never)];
    assert.equal(takeAll(first, 16), 1);
    assert.equal(second.take(1), false);
    first.give(16);
    assert.equal(second.take(17), false);
    assert.equal(takeAll(second, 12), 1);
  });

  it("AHEAD-2: a stream that nobody reads gives up its share when another needs room, the longest unread first", () => {
    const { clock, budget } = budgetOf(16);
    const givenUp: string[] = [];
    const paused = budget.join(() => givenUp.push("paused"));
    const slow = budget.join(() => givenUp.push("slow"));
    assert.equal(takeAll(paused, 2), 4);
    assert.equal(takeAll(slow, 2), 4);
    clock.advance(MINUTE_MS / 2);
    slow.noteRead();
    clock.advance(MINUTE_MS / 2);
    assert.deepEqual(givenUp, [], "nobody needs its room");
    const third = budget.join(never);
    assert.equal(takeAll(third, 2), 4);
    assert.deepEqual(givenUp, ["paused"]);
    assert.equal(paused.take(2), false);
    assert.equal(slow.take(2), false, "it has its half");
  });
});

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createAhead, WAITED_FOR } from "../../src/core/urgency.js";

describe("urgency", () => {
  it("what is done ahead turns urgent once, and tells everybody who listens", () => {
    const ahead = createAhead();
    const told: string[] = [];
    ahead.onPromoted(() => told.push("first"));
    ahead.onPromoted(() => told.push("second"));
    assert.equal(ahead.isWaitedFor, false);
    ahead.promote();
    ahead.promote();
    assert.equal(ahead.isWaitedFor, true);
    assert.deepEqual(told, ["first", "second"]);
  });

  it("is told of by a callback that sees it urgent already", () => {
    const ahead = createAhead();
    let seen = false;
    ahead.onPromoted(() => {
      seen = ahead.isWaitedFor;
    });
    ahead.promote();
    assert.equal(seen, true);
  });

  it("tells nobody who does not listen any more, and nobody who comes late", () => {
    const ahead = createAhead();
    let toldCount = 0;
    const count = () => {
      toldCount += 1;
    };
    ahead.onPromoted(count)();
    ahead.promote();
    ahead.onPromoted(count)();
    WAITED_FOR.onPromoted(count)();
    assert.equal(toldCount, 0);
    assert.equal(WAITED_FOR.isWaitedFor, true);
  });
});

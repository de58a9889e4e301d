import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createAhead, type Urgency } from "../../src/core/urgency.js";
import { createWaitQueue, type Turn } from "../../src/core/waitQueue.js";

const NEVER = new AbortController().signal;

/** Waiters that note when they are served: each takes one of the places that are given. */
function placesGiven() {
  const queue = createWaitQueue();
  const served: string[] = [];
  let free = 0;
  const waitAs = (name: string, urgency?: Urgency) =>
    queue.wait(
      (): Turn<string> => {
        if (free === 0) return { type: "hold" };
        free -= 1;
        served.push(name);
        return { type: "served", value: name };
      },
      { signal: NEVER, urgency },
    );
  const give = (count: number): void => {
    free += count;
    queue.wake();
  };
  return { queue, served, waitAs, give };
}

describe("wait queue", () => {
  it("serves what is waited for first, and each kind in the order it came", async () => {
    const { served, waitAs, give } = placesGiven();
    const all = [
      waitAs("ahead 1", createAhead()),
      waitAs("reader 1"),
      waitAs("ahead 2", createAhead()),
      waitAs("reader 2"),
    ];
    give(4);
    assert.deepEqual(served, ["reader 1", "reader 2", "ahead 1", "ahead 2"]);
    assert.deepEqual(await Promise.all(all), ["ahead 1", "reader 1", "ahead 2", "reader 2"]);
  });

  it("one that is promoted goes before all that are done ahead, and keeps its place among the waited for", () => {
    const { served, waitAs, give } = placesGiven();
    const wanted = createAhead();
    void waitAs("ahead", createAhead());
    void waitAs("promoted", wanted);
    void waitAs("reader");
    wanted.promote();
    give(1);
    give(1);
    give(1);
    assert.deepEqual(served, ["promoted", "reader", "ahead"]);
  });

  it("one that is promoted is tried at once", async () => {
    const queue = createWaitQueue();
    const wanted = createAhead();
    const waiting = queue.wait(
      (): Turn<number> => (wanted.isWaitedFor ? { type: "served", value: 1 } : { type: "next" }),
      { signal: NEVER, urgency: wanted },
    );
    wanted.promote();
    assert.equal(await waiting, 1);
  });

  it("one whose turn is not now lets those behind it try, unless it holds them", async () => {
    const queue = createWaitQueue();
    const never = queue.wait(() => ({ type: "next" }), { signal: NEVER });
    const behind = queue.wait(() => ({ type: "served", value: 2 }), { signal: NEVER });
    assert.equal(await behind, 2);
    void never;
  });

  it("one that gives up leaves, and lets pass whom it held", async () => {
    const queue = createWaitQueue();
    const controller = new AbortController();
    const holding = queue.wait(() => ({ type: "hold" }), controller);
    let isServed = false;
    const behind = queue.wait(
      () => {
        isServed = true;
        return { type: "served", value: 3 };
      },
      { signal: NEVER },
    );
    assert.equal(isServed, false);
    controller.abort(new Error("gave up"));
    await assert.rejects(holding, /gave up/);
    assert.equal(await behind, 3);
    await assert.rejects(
      queue.wait(() => ({ type: "served", value: 4 }), controller),
      /gave up/,
    );
  });

  it("a turn that throws ends its own waiting, and nobody else's", async () => {
    const queue = createWaitQueue();
    const failing = queue.wait(
      () => {
        throw new Error("odd");
      },
      { signal: NEVER },
    );
    const behind = queue.wait(() => ({ type: "served", value: 5 }), { signal: NEVER });
    await assert.rejects(failing, /odd/);
    assert.equal(await behind, 5);
  });
});

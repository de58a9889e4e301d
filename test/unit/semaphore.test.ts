import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createSemaphore } from "../../src/core/semaphore.js";
import { createAhead } from "../../src/core/urgency.js";

const NEVER = { signal: new AbortController().signal };

async function isGranted(acquiring: Promise<unknown>): Promise<boolean> {
  const pending = Symbol("pending");
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  return (await Promise.race([acquiring, Promise.resolve(pending)])) !== pending;
}

describe("semaphore", () => {
  it("grants what is free, and the rest in the order of asking", async () => {
    const semaphore = createSemaphore(2);
    const releaseFirst = await semaphore.acquire(1, NEVER);
    await semaphore.acquire(1, NEVER);
    const third = semaphore.acquire(1, NEVER);
    const fourth = semaphore.acquire(1, NEVER);
    assert.equal(await isGranted(third), false);
    releaseFirst();
    releaseFirst();
    assert.equal(await isGranted(third), true);
    assert.equal(await isGranted(fourth), false);
  });

  it("a weight above the capacity is granted when nothing else is taken", async () => {
    const semaphore = createSemaphore(4);
    const release = await semaphore.acquire(1, NEVER);
    const heavy = semaphore.acquire(100, NEVER);
    assert.equal(await isGranted(heavy), false);
    release();
    (await heavy)();
    assert.equal(await isGranted(semaphore.acquire(4, NEVER)), true);
  });

  it("a waiter that gives up lets those behind it pass", async () => {
    const semaphore = createSemaphore(2);
    await semaphore.acquire(1, NEVER);
    const controller = new AbortController();
    const heavy = semaphore.acquire(2, controller);
    const light = semaphore.acquire(1, NEVER);
    assert.equal(await isGranted(light), false);
    controller.abort(new Error("gave up"));
    await assert.rejects(heavy, /gave up/);
    assert.equal(await isGranted(light), true);
  });

  it("work that fails gives its place back", async () => {
    const semaphore = createSemaphore(1);
    await assert.rejects(
      semaphore.run(1, NEVER, () => Promise.reject(new Error("no"))),
      /no/,
    );
    assert.equal(await semaphore.run(1, NEVER, () => Promise.resolve(3)), 3);
  });

  it("work done ahead leaves the kept places free; what is waited for takes them", async () => {
    const semaphore = createSemaphore(3, 2);
    const ahead = () => ({ ...NEVER, urgency: createAhead() });
    assert.equal(await isGranted(semaphore.acquire(1, ahead())), true);
    const second = semaphore.acquire(1, ahead());
    assert.equal(await isGranted(second), false);
    const release = await semaphore.acquire(1, NEVER);
    await semaphore.acquire(1, NEVER);
    release();
    assert.equal(await isGranted(second), false, "two places are kept, and one of them is taken");
  });

  it("work done ahead that waits for a place gets one of the kept as soon as it is promoted", async () => {
    const semaphore = createSemaphore(2, 1);
    const urgency = createAhead();
    await semaphore.acquire(1, { ...NEVER, urgency: createAhead() });
    const second = semaphore.acquire(1, { ...NEVER, urgency });
    assert.equal(await isGranted(second), false);
    urgency.promote();
    assert.equal(await isGranted(second), true);
  });

  it("work done ahead that is heavier than its share is granted when all of the share is free", async () => {
    const semaphore = createSemaphore(4, 1);
    const release = await semaphore.acquire(1, NEVER);
    const heavy = semaphore.acquire(100, { ...NEVER, urgency: createAhead() });
    assert.equal(await isGranted(heavy), false);
    release();
    assert.equal(await isGranted(heavy), true);
    assert.equal(await isGranted(semaphore.acquire(1, NEVER)), true, "the kept place is free");
  });
});

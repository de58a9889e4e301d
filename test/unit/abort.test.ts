import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { getEventListeners } from "node:events";
import { orAbort, pause, withDeadline } from "../../src/core/abort.js";
import { createManualClock } from "../support/manualClock.js";

const onDeadline = (): Error => new Error("too late");

describe("waiting that ends", () => {
  it("READ-3: work that never ends is ended by its deadline, and its signal is aborted", async () => {
    const clock = createManualClock();
    const seen: AbortSignal[] = [];
    const waiting = withDeadline({ clock, timeoutMs: 100, onDeadline }, (signal) => {
      seen.push(signal);
      return new Promise(() => undefined);
    });
    clock.advance(99);
    assert.deepEqual(
      seen.map(({ aborted }) => aborted),
      [false],
    );
    clock.advance(1);
    await assert.rejects(waiting, /too late/);
    assert.deepEqual(
      seen.map(({ aborted }) => aborted),
      [true],
    );
  });

  it("work that ends in time leaves no timer and no listener", async () => {
    const clock = createManualClock();
    const outer = new AbortController();
    const { signal } = outer;
    const result = await withDeadline({ clock, timeoutMs: 100, signal, onDeadline }, () =>
      Promise.resolve(7),
    );
    assert.equal(result, 7);
    assert.equal(getEventListeners(signal, "abort").length, 0);
    clock.advance(1000);
  });

  it("the outer signal ends the work with its own reason", async () => {
    const clock = createManualClock();
    const outer = new AbortController();
    const waiting = withDeadline(
      { clock, timeoutMs: 100, signal: outer.signal, onDeadline },
      () => new Promise(() => undefined),
    );
    outer.abort(new Error("stop it"));
    await assert.rejects(waiting, /stop it/);
  });

  it("a signal that was aborted before ends the wait before the work begins", async () => {
    const clock = createManualClock();
    const signal = AbortSignal.abort(new Error("gone"));
    let began = false;
    const work = (): Promise<void> => {
      began = true;
      return Promise.resolve();
    };
    await assert.rejects(withDeadline({ clock, timeoutMs: 1, signal, onDeadline }, work), /gone/);
    assert.equal(began, false);
    await assert.rejects(orAbort(Promise.reject(new Error("other")), signal), /gone/);
  });

  it("a pause ends when its time is over, or when it is aborted", async () => {
    const clock = createManualClock();
    const controller = new AbortController();
    const over = pause(clock, 50, controller.signal);
    clock.advance(50);
    await over;
    const cut = pause(clock, 50, controller.signal);
    controller.abort(new Error("enough"));
    await assert.rejects(cut, /enough/);
  });
});

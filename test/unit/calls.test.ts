import assert from "node:assert/strict";
import { test } from "node:test";
import { PsyncError } from "../../src/core/errors.js";
import { createLogger } from "../../src/core/log.js";
import { type Call, createCalls } from "../../src/mount/driver/calls.js";

function harness() {
  const logged: string[] = [];
  const answers: (string | number)[] = [];
  const discarded: unknown[] = [];
  const log = createLogger((level, message) => logged.push(`${level} ${message}`), "debug");
  const calls = createCalls({ log });
  const start = <T>(work: Call<T>["work"], succeed: (value: T) => void = () => undefined): void => {
    calls.start<T>({
      label: "read /a",
      work,
      succeed: (value) => {
        succeed(value);
        answers.push("ok");
      },
      fail: (errno) => answers.push(errno),
      discard: (value) => discarded.push(value),
    });
  };
  return { calls, start, answers, logged, discarded };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a result that is there at once is answered at once", () => {
  const { start, answers, calls } = harness();
  start(() => 1);
  assert.deepEqual(answers, ["ok"]);
  assert.equal(calls.pending, 0);
});

test("a throw, a rejection and a failing answer are each one EIO, and logged", async () => {
  const { start, answers, logged } = harness();
  start(() => {
    throw new Error("thrown");
  });
  start(() => Promise.reject(new Error("rejected")));
  start(
    () => 1,
    () => {
      throw new Error("too long");
    },
  );
  await turn();
  assert.deepEqual(answers, [5, 5, 5]);
  assert.deepEqual(logged.sort(), [
    "error read /a: rejected",
    "error read /a: thrown",
    "error read /a: too long",
  ]);
});

test("a PsyncError is answered with its errno and not logged as a fault", async () => {
  const { start, answers, logged } = harness();
  start(() => Promise.reject(new PsyncError("ERR_PSYNC_NO_ENTRY", "no such file")));
  await turn();
  assert.deepEqual(answers, [2]);
  assert.deepEqual(logged, ["debug read /a: no such file"]);
});

test("aborting answers what is pending with EIO at once, also work that ignores its signal", async () => {
  const { calls, start, answers, discarded } = harness();
  let finish: ((value: string) => void) | undefined;
  let seen: AbortSignal | undefined;
  start((signal) => {
    seen = signal;
    return new Promise<string>((resolve) => (finish = resolve));
  });
  calls.abortAll();
  assert.deepEqual(answers, [5]);
  assert.equal(seen?.aborted, true);
  assert.equal(calls.pending, 0);
  finish?.("late");
  await turn();
  assert.deepEqual(answers, [5]);
  assert.deepEqual(discarded, ["late"]);
});

test("calls after an abort are served", async () => {
  const { calls, start, answers } = harness();
  calls.abortAll();
  start((signal) => {
    assert.equal(signal.aborted, false);
    return Promise.resolve(1);
  });
  await turn();
  assert.deepEqual(answers, ["ok"]);
});

test("when nothing is served any more, reads are refused and the rest is answered", async () => {
  const { calls, start, answers } = harness();
  start(() => new Promise(() => undefined));
  calls.stopServing();
  let asked = false;
  calls.start({
    label: "read /a",
    waitsForData: true,
    work: () => {
      asked = true;
    },
    succeed: () => answers.push("read"),
    fail: (errno) => answers.push(errno),
  });
  start(() => 1);
  await turn();
  assert.deepEqual(answers, [5, 5, "ok"]);
  assert.equal(asked, false);
});

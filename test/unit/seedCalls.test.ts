/** Calls on file systems that may hang, on a clock that is moved by hand. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LIMITS } from "../../src/core/limits.js";
import type { MountEntry } from "../../src/core/mountTable.js";
import { createSeedCalls, NoAnswerError } from "../../src/store/seedCalls.js";
import { createManualClock } from "../support/manualClock.js";
import { createLineLog } from "../support/storeFixtures.js";
import { createGate, until } from "../support/until.js";

const { callTimeoutMs } = LIMITS.seeds;

function mountAt(mountpoint: string, type = "nfs"): MountEntry {
  const device = { deviceMajor: 0, deviceMinor: 1 };
  return { mountId: 1, parentId: 0, ...device, mountpoint, type, source: "x" };
}

function fixture() {
  const clock = createManualClock();
  const log = createLineLog();
  const table = [
    ...["/", "/one", "/two", "/three"].map((mountpoint) => mountAt(mountpoint)),
    mountAt("/three/own", "fuse.psync"),
  ];
  const calls = createSeedCalls({ clock, log, readTable: () => Promise.resolve(table) });
  /** Makes a call that hangs until its gate opens, and lets the deadline go by. */
  const hang = async (path: string) => {
    const gate = createGate();
    let isMade = false;
    const late = calls.run(path, () => {
      isMade = true;
      return gate.passed;
    });
    late.catch(() => undefined);
    await until("it is made", () => isMade);
    return { gate, late };
  };
  return { clock, log, calls, hang };
}

const answer = () => Promise.resolve("answer");

describe("SEED-5: calls on the file systems of seeds", () => {
  it("are made one at a time", async () => {
    const { calls } = fixture();
    let running = 0;
    let most = 0;
    const call = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    };
    await Promise.all(["/one/a", "/one/b", "/two/a"].map((path) => calls.run(path, call)));
    assert.equal(most, 1);
  });

  it("do not wait for one that is late, and go on elsewhere; what is told is told once", async () => {
    const { clock, log, calls, hang } = fixture();
    const { gate, late } = await hang("/one/a");
    const behind = calls.run("/one/b", answer);
    const elsewhere = calls.run("/two/a", answer);
    clock.advance(callTimeoutMs - 1);
    await new Promise(setImmediate);
    clock.advance(1);
    await assert.rejects(late, NoAnswerError);
    await assert.rejects(behind, NoAnswerError);
    assert.equal(await elsewhere, "answer");
    await assert.rejects(calls.run("/one/c", answer), NoAnswerError);
    assert.equal(log.lines.length, 1, log.lines.join("\n"));
    assert.match(log.lines[0] ?? "", /^warn seeds are not read: \/one does not answer/);
    gate.open();
    await until("it is asked again", async () => {
      return (await calls.run("/one/a", answer).catch(() => undefined)) === "answer";
    });
    assert.match(log.lines[1] ?? "", /^info seeds are read again/);
  });

  it("are not made at all while two hang: libuv has four threads", async () => {
    const { clock, calls, hang } = fixture();
    const one = await hang("/one/a");
    clock.advance(callTimeoutMs);
    await assert.rejects(one.late, NoAnswerError);
    const two = await hang("/two/a");
    clock.advance(callTimeoutMs);
    await assert.rejects(two.late, NoAnswerError);
    await assert.rejects(calls.run("/three/a", answer), NoAnswerError);
    one.gate.open();
    await until("a third is asked", async () => {
      return (await calls.run("/three/a", answer).catch(() => undefined)) === "answer";
    });
    two.gate.open();
  });

  it("end for who stops, and a close is made once the file system answers", async () => {
    const { clock, calls, hang } = fixture();
    const stop = new AbortController();
    const { gate, late } = await hang("/one/a");
    const waiting = calls.until(stop.signal).run("/one/b", answer);
    stop.abort(new Error("stopped"));
    await assert.rejects(waiting, /stopped/);
    clock.advance(callTimeoutMs);
    await assert.rejects(late, NoAnswerError);
    let closedCount = 0;
    calls.behind("/one/a", () => {
      closedCount += 1;
      return Promise.resolve();
    });
    await new Promise(setImmediate);
    assert.equal(closedCount, 0);
    gate.open();
    await until("it is closed", () => closedCount === 1);
  });

  it("SEED-3: are refused in a mount of psync, which would wait for itself", async () => {
    const { calls } = fixture();
    await assert.rejects(calls.run("/three/own/a", answer), /is a mount of psync/);
    assert.equal(await calls.run("/three/ownless", answer), "answer");
  });
});

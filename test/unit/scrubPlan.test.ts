/** When a mount checks its store: rates, pauses and turns, without a clock. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LIMITS } from "../../src/core/limits.js";
import {
  formatNote,
  parseNote,
  pauseAfterMs,
  planTurn,
  scrubBytesPerSecond,
  waitForReadersMs,
  type ScrubNote,
} from "../../src/store/scrubPlan.js";

const MIB = 2 ** 20;
const DAY_MS = 24 * 60 * 60_000;
const NOW = 1_800_000_000_000;

const note: ScrubNote = {
  place: "cached",
  after: "ab".repeat(32),
  beganUnixMs: NOW - DAY_MS,
  isDone: false,
  bytes: 100,
  expectedBytes: 200,
  owner: "other",
  leaseEndUnixMs: 0,
};

const turn = (stored: Partial<ScrubNote> | string | undefined) =>
  planTurn(typeof stored === "object" ? formatNote({ ...note, ...stored }) : stored, {
    owner: "self",
    nowUnixMs: NOW,
  });

describe("SCRUB-1: the plan of checking", () => {
  it("reads 8 MiB a second, more where 30 days would not do, and never more than 64", () => {
    assert.equal(scrubBytesPerSecond(0), 8 * MIB);
    assert.equal(scrubBytesPerSecond(2 ** 40), 8 * MIB);
    const large = 50 * 2 ** 40;
    assert.ok(scrubBytesPerSecond(large) > 8 * MIB);
    assert.ok(large / scrubBytesPerSecond(large) <= (30 * DAY_MS) / 1000 + 1e-6);
    assert.equal(scrubBytesPerSecond(2 ** 50), 64 * MIB);
  });

  it("pauses after a block for what its bytes may take, less what it took", () => {
    const bytesPerSecond = 8 * MIB;
    assert.equal(pauseAfterMs({ sizeBytes: 2 * MIB, tookMs: 0, bytesPerSecond }), 250);
    assert.equal(pauseAfterMs({ sizeBytes: 2 * MIB, tookMs: 100, bytesPerSecond }), 150);
    assert.equal(pauseAfterMs({ sizeBytes: 2 * MIB, tookMs: 9_000, bytesPerSecond }), 0);
    // A store of tiny blocks is not read as fast as the disk can seek.
    assert.ok(pauseAfterMs({ sizeBytes: 1, tookMs: 0, bytesPerSecond }) >= 5);
  });

  it("begins where nothing is remembered, or what makes no sense", () => {
    for (const text of [undefined, "", "{", "null", "[]", formatNote({ ...note, after: "x" })]) {
      const begun = turn(text);
      assert.ok(begun.kind === "go" && begun.isNewPass);
      const { place, after, owner, leaseEndUnixMs } = begun.note;
      assert.deepEqual([place, after, owner], ["kept", "", "self"]);
      assert.equal(leaseEndUnixMs, NOW + LIMITS.scrub.leaseMs);
    }
  });

  it("goes on where a pass was left", () => {
    const goingOn = turn({});
    assert.ok(goingOn.kind === "go" && !goingOn.isNewPass);
    assert.deepEqual([goingOn.note.after, goingOn.note.bytes], [note.after, 100]);
    assert.deepEqual(parseNote(formatNote(goingOn.note)), goingOn.note);
  });

  it("waits for another process's turn to end, but for no time in a far future", () => {
    assert.deepEqual(turn({ leaseEndUnixMs: NOW + 1000 }), { kind: "wait", waitMs: 1000 });
    assert.equal(turn({ leaseEndUnixMs: NOW - 1 }).kind, "go");
    assert.equal(turn({ leaseEndUnixMs: NOW + DAY_MS }).kind, "go");
    assert.equal(turn({ leaseEndUnixMs: NOW + 1000, owner: "self" }).kind, "go");
  });

  it("begins the next pass 14 days after the last one began, and expects as much as that read", () => {
    assert.deepEqual(turn({ isDone: true }), { kind: "wait", waitMs: 13 * DAY_MS });
    const begun = turn({ isDone: true, beganUnixMs: NOW - 14 * DAY_MS });
    assert.ok(begun.kind === "go" && begun.isNewPass);
    assert.deepEqual([begun.note.bytes, begun.note.expectedBytes], [0, 100]);
    // A clock that was wrong then.
    assert.equal(turn({ isDone: true, beganUnixMs: NOW + DAY_MS }).kind, "go");
  });
});

describe("SCRUB-2: readers", () => {
  it("are waited for, and a second longer", () => {
    assert.equal(waitForReadersMs({ waitingCount: 0, lastEndedMs: -Infinity }, 5), 0);
    assert.ok(waitForReadersMs({ waitingCount: 1, lastEndedMs: -Infinity }, 5) > 0);
    assert.equal(waitForReadersMs({ waitingCount: 0, lastEndedMs: 1000 }, 1400), 600);
    assert.equal(waitForReadersMs({ waitingCount: 0, lastEndedMs: 1000 }, 2000), 0);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createServerSpeed, type ServerSpeed } from "../../src/fetch/serverSpeed.js";

const limits = { raceFirstMs: 1000, raceFloorMs: 100 };
const MIB = 1 << 20;

/** A whole block of so many bytes, after so long. */
function whole(speed: ServerSpeed, bytes: number, bodyMs: number, firstByteMs = 10): void {
  speed.noteWhole({ elapsedMs: firstByteMs + bodyMs, firstByteMs, receivedBytes: bytes });
}

describe("how fast a server is", () => {
  it("is not known before it has answered", () => {
    const speed = createServerSpeed(limits);
    assert.equal(speed.expectedMs(MIB), undefined);
    assert.equal(speed.firstByteMs(), undefined);
    assert.equal(speed.bytesPerSecond(), undefined);
    assert.equal(speed.lateAfterMs(MIB), 1000);
  });

  it("is the time to the first byte, and then the bytes at its rate", () => {
    const speed = createServerSpeed(limits);
    whole(speed, MIB, 100);
    assert.equal(speed.expectedMs(2 * MIB), 210);
    assert.equal(speed.firstByteMs(), 10);
    assert.equal(Math.round(speed.bytesPerSecond() ?? 0), 10 * MIB);
  });

  it("goes on from what an earlier process measured", () => {
    const speed = createServerSpeed(limits, { firstByteMs: 20, bytesPerSecond: MIB });
    assert.equal(speed.expectedMs(MIB), 1020);
    assert.equal(speed.lateAfterMs(MIB), 1530);
  });

  it("is not told by one that was slow, nor by short bodies", () => {
    const speed = createServerSpeed(limits);
    for (let nth = 0; nth < 6; nth += 1) whole(speed, MIB, 100);
    whole(speed, MIB, 10_000);
    assert.equal(speed.expectedMs(MIB), 110);
    whole(speed, 1, 50);
    assert.equal(speed.expectedMs(MIB), 110);
  });

  it("is forgotten once it is out of date: slower by most of the last ones, faster by one", () => {
    const speed = createServerSpeed(limits);
    for (let nth = 0; nth < 20; nth += 1) whole(speed, MIB, 100);
    for (let nth = 0; nth < 4; nth += 1) whole(speed, MIB, 1000);
    assert.equal(speed.expectedMs(MIB), 1010);
    whole(speed, MIB, 100);
    assert.equal(speed.expectedMs(MIB), 110);
  });

  it("counts what was cut off as if it had gone on so", () => {
    const speed = createServerSpeed(limits);
    speed.noteCut({ elapsedMs: 1010, firstByteMs: 10, receivedBytes: MIB / 4 }, MIB);
    assert.equal(speed.expectedMs(MIB), 4010);
    const silent = createServerSpeed(limits);
    silent.noteCut({ elapsedMs: 2000, firstByteMs: undefined, receivedBytes: 0 }, MIB);
    assert.equal(silent.expectedMs(MIB), undefined);
    assert.equal(silent.firstByteMs(), 2000);
    assert.equal(silent.bytesPerSecond(), undefined);
  });

  it("learns nothing from what was cut off before an answer was due", () => {
    const speed = createServerSpeed(limits);
    whole(speed, MIB, 100);
    speed.noteCut({ elapsedMs: 5, firstByteMs: undefined, receivedBytes: 0 }, MIB);
    assert.equal(speed.firstByteMs(), 10);
  });
});

describe("when a block is late", () => {
  it("nine of ten took no longer, for a block of any length", () => {
    const speed = createServerSpeed(limits);
    for (let nth = 1; nth <= 40; nth += 1) whole(speed, MIB, nth % 5 === 0 ? 290 : 190);
    assert.equal(Math.round(speed.lateAfterMs(MIB)), 300);
    assert.ok(speed.lateAfterMs(2 * MIB) > 300);
  });

  it("never sooner than the floor", () => {
    const speed = createServerSpeed(limits);
    for (let nth = 0; nth < 40; nth += 1) whole(speed, MIB, 1, 1);
    assert.equal(speed.lateAfterMs(MIB), 100);
  });
});

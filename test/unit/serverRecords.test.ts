import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mergeRecords } from "../../src/store/serverRecords.js";
import { serverRecord } from "../support/serverRecords.js";

const NOON = Date.UTC(2026, 0, 1, 12);
const HOUR_MS = 3_600_000;

describe("SERVERS-1: two records of one server", () => {
  it("become the later one, with the ban that ends later, whole, whichever comes in", () => {
    const long = { banMs: 20 * HOUR_MS, banEndUnixMs: NOON - HOUR_MS };
    const short = { banMs: HOUR_MS, banEndUnixMs: NOON + HOUR_MS };
    const none = { banMs: 0, banEndUnixMs: 0 };
    for (const other of [long, none]) {
      for (const [older, newer] of [
        [short, other],
        [other, short],
      ]) {
        const early = serverRecord({ ...older, blockCount: 1, askedUnixMs: NOON - 1 });
        const late = serverRecord({ ...newer, blockCount: 2, askedUnixMs: NOON });
        const merged = { ...late, ...short };
        assert.deepEqual(mergeRecords(early, late), merged);
        assert.deepEqual(mergeRecords(late, early), merged);
      }
    }
  });
});

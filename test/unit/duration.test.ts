import assert from "node:assert/strict";
import { it } from "node:test";
import { formatDuration } from "../../src/core/duration.js";

it("a duration is shown in its largest unit", () => {
  const shown = [0, 0.2, 999, 1_000, 59_000, 90_000, 600_000, 3_600_000, 86_400_000];
  assert.deepEqual(shown.map(formatDuration), [
    "0 ms",
    "1 ms",
    "999 ms",
    "1 s",
    "59 s",
    "2 min",
    "10 min",
    "1 h",
    "24 h",
  ]);
});

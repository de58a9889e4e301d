import assert from "node:assert/strict";
import { it } from "node:test";
import { createExpiringSet } from "../../src/core/expiringSet.js";

it("a key is remembered for its time, anew when it is added again", () => {
  const set = createExpiringSet({ memoryMs: 10, maxCount: 100 });
  set.add("a", 0);
  assert.equal(set.remainingMs("a", 4), 6);
  set.add("a", 5);
  assert.equal(set.remainingMs("a", 10), 5);
  assert.equal(set.remainingMs("a", 15), 0);
  assert.equal(set.remainingMs("never", 0), 0);
});

it("the oldest keys go first where there are too many", () => {
  const set = createExpiringSet({ memoryMs: 10, maxCount: 2 });
  for (const key of ["a", "b", "a", "c"]) set.add(key, 0);
  assert.equal(set.remainingMs("b", 0), 0);
  assert.equal(set.remainingMs("a", 0), 10);
  assert.equal(set.remainingMs("c", 0), 10);
});

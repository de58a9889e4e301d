import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createInodeNumbers, fold } from "../../src/mount/driver/inodeNumbers.js";

const inode = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

test("different inodes get different numbers in 2..2^32−2, and always the same", () => {
  fc.assert(
    fc.property(fc.uniqueArray(inode, { maxLength: 200 }), (inodes) => {
      const numbers = createInodeNumbers({ maxRemembered: 10_000_000 });
      const first = inodes.map((one) => numbers.narrow(one));
      assert.equal(new Set(first).size, inodes.length);
      assert.ok(first.every((one) => one >= 2 && one <= 2 ** 32 - 2 && Number.isInteger(one)));
      assert.deepEqual(
        inodes.map((one) => numbers.narrow(one)),
        first,
      );
    }),
  );
});

test("without a collision the number does not depend on what was asked before", () => {
  const one = createInodeNumbers({ maxRemembered: 10_000_000 });
  const other = createInodeNumbers({ maxRemembered: 10_000_000 });
  for (let index = 1; index < 5000; index += 1) other.narrow(index * 7919);
  assert.equal(one.narrow(2 ** 52 + 12345), other.narrow(2 ** 52 + 12345));
});

test("inodes that fold to one number are probed apart, also at the end of the range", () => {
  const numbers = createInodeNumbers({ maxRemembered: 10_000_000 });
  const last = 2 ** 32 - 2;
  const rivals = [last];
  for (let high = 1; rivals.length < 3; high += 1) {
    const low = (last ^ Math.imul(high, 0x85ebca6b)) >>> 0;
    rivals.push(high * 2 ** 32 + low);
  }
  for (const rival of rivals) assert.equal(fold(rival), last);
  assert.deepEqual(
    rivals.map((rival) => numbers.narrow(rival)),
    [last, 2, 3],
  );
});

test("small inodes stay what they are, and 0 and 1 are nobody's", () => {
  const numbers = createInodeNumbers({ maxRemembered: 10_000_000 });
  assert.equal(numbers.narrow(77), 77);
  assert.ok(numbers.narrow(1) > 1);
  assert.ok(numbers.narrow(2 ** 32) > 1);
});

test("a hundred thousand numbers stay apart", () => {
  const numbers = createInodeNumbers({ maxRemembered: 10_000_000 });
  const seen = new Set<number>();
  for (let index = 0; index < 100_000; index += 1)
    seen.add(numbers.narrow(2 ** 40 + index * 65_537));
  assert.equal(seen.size, 100_000);
  assert.equal(numbers.size, 100_000);
});

test("above the bound a number is not remembered, and is where it would lie alone", () => {
  const numbers = createInodeNumbers({ maxRemembered: 2 });
  for (const one of [10, 11, 12, 13]) assert.equal(numbers.narrow(one), one);
  assert.equal(numbers.size, 2);
  assert.equal(numbers.narrow(10), 10);
});

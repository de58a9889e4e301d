import assert from "node:assert/strict";
import { test } from "node:test";
import { copyInto, isUsableName } from "../../src/mount/driver/nativeHandlers.js";
import { entryStatArray, statArray, statfsArray } from "../../src/mount/driver/nativeValues.js";
import type { Attributes } from "../../src/mount/driver/port.js";

const FILE: Attributes = {
  kind: "file",
  permissions: 0o444,
  sizeBytes: 1,
  mtimeMs: 1_700_000_000_123.7,
  ctimeMs: -5,
  inode: 9,
  uid: 0,
  gid: 2 ** 32 - 2,
};

const u64 = (fields: Uint32Array, index: number): number =>
  (fields[index] ?? 0) + (fields[index + 1] ?? 0) * 2 ** 32;

test("a file has as many blocks as its size needs, beyond 4 TiB too", () => {
  for (const sizeBytes of [0, 1, 512, 513, 2 ** 32, 5 * 2 ** 40 + 1]) {
    const fields = statArray({ ...FILE, sizeBytes }, 9);
    assert.equal(u64(fields, 3), sizeBytes);
    assert.equal(u64(fields, 10), Math.ceil(sizeBytes / 512));
  }
});

test("dates are whole milliseconds, and those before 1970 are 1970", () => {
  const fields = statArray(FILE, 9);
  assert.equal(u64(fields, 14), 1_700_000_000_123);
  assert.equal(u64(fields, 16), 0);
  assert.equal(u64(statArray({ ...FILE, mtimeMs: Number.NaN }, 9), 14), 0);
  assert.equal(u64(statArray({ ...FILE, mtimeMs: 2 ** 45 }, 9), 14), 2 ** 45);
});

test("a file has one link, its inode, and its type in the mode", () => {
  const fields = statArray(FILE, 9);
  assert.deepEqual([fields[0], fields[6], fields[7]], [0o100444, 1, 9]);
});

test("an entry of a listing tells its type and its inode", () => {
  const told = (["file", "folder", "symlink"] as const).map((kind) => entryStatArray(kind, 7));
  assert.deepEqual(
    told.map((fields) => [fields[0], fields[7]]),
    [
      [0o100000, 7],
      [0o040000, 7],
      [0o120000, 7],
    ],
  );
});

test("a file system larger than 32 bits of blocks is told in larger blocks", () => {
  const stats = {
    blockSizeBytes: 4096,
    freeBlocks: 2 ** 39,
    fileCount: 2 ** 40,
    maxNameBytes: 255,
  };
  const fields = statfsArray({ ...stats, totalBlocks: 2 ** 40 });
  assert.equal((fields[1] ?? 0) * (fields[2] ?? 0), 4096 * 2 ** 40);
  assert.equal((fields[1] ?? 0) * (fields[3] ?? 0), 4096 * 2 ** 39);
  assert.equal(fields[5], 2 ** 32 - 1);
});

test("pieces are copied in order, and more than was asked for is refused untouched", () => {
  const target = new Uint8Array(4);
  assert.equal(copyInto(target, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]), 3);
  assert.deepEqual([...target], [1, 2, 3, 0]);
  assert.throws(() => copyInto(target, [Uint8Array.of(9, 9, 9), Uint8Array.of(9, 9)]));
  assert.deepEqual([...target], [1, 2, 3, 0]);
});

test("a name that libfuse cannot pass on is left out", () => {
  const good = ["a", "a\nb", "é".repeat(127), "x".repeat(255), "..."];
  const bad = ["", ".", "..", "a/b", "a\0b", "é".repeat(128)];
  assert.deepEqual([...good, ...bad].filter(isUsableName), good);
});

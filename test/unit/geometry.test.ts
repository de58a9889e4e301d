import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { blockLengthBytes, sizeFits, spansOf, type Geometry } from "../../src/hashlist/geometry.js";

const MIB = 1024 * 1024;

function geometryOf(sizeBytes: number, blockSizeBytes: number): Geometry {
  return { sizeBytes, blockSizeBytes, blockCount: Math.ceil(sizeBytes / blockSizeBytes) };
}

describe("geometry", () => {
  it("a range inside one block is one span", () => {
    assert.deepEqual(spansOf(geometryOf(100, 10), { offset: 42, length: 5 }), [
      { blockIndex: 4, startBytes: 2, lengthBytes: 5 },
    ]);
  });

  it("a range over three blocks is three spans without gaps", () => {
    assert.deepEqual(spansOf(geometryOf(100, 10), { offset: 9, length: 12 }), [
      { blockIndex: 0, startBytes: 9, lengthBytes: 1 },
      { blockIndex: 1, startBytes: 0, lengthBytes: 10 },
      { blockIndex: 2, startBytes: 0, lengthBytes: 1 },
    ]);
  });

  it("a range is cut at the end of the file, and past it there is nothing", () => {
    const geometry = geometryOf(25, 10);
    assert.deepEqual(spansOf(geometry, { offset: 24, length: 100 }), [
      { blockIndex: 2, startBytes: 4, lengthBytes: 1 },
    ]);
    assert.deepEqual(spansOf(geometry, { offset: 25, length: 1 }), []);
    assert.deepEqual(spansOf(geometry, { offset: 1e15, length: 1 }), []);
    assert.deepEqual(spansOf(geometry, { offset: 3, length: 0 }), []);
  });

  it("offsets beyond 4 TiB are exact", () => {
    const sizeBytes = 5 * 1024 * 1024 * MIB + 7;
    const geometry = geometryOf(sizeBytes, 2 * MIB);
    assert.deepEqual(spansOf(geometry, { offset: sizeBytes - 8, length: 8 }), [
      { blockIndex: geometry.blockCount - 2, startBytes: 2 * MIB - 1, lengthBytes: 1 },
      { blockIndex: geometry.blockCount - 1, startBytes: 0, lengthBytes: 7 },
    ]);
  });

  it("the last block has what is left, and a whole block where nothing is", () => {
    assert.equal(blockLengthBytes(geometryOf(25, 10), 2), 5);
    assert.equal(blockLengthBytes(geometryOf(30, 10), 2), 10);
    assert.equal(blockLengthBytes(geometryOf(25, 10), 0), 10);
  });

  it("a size fits exactly the counts that can hold it", () => {
    assert.equal(sizeFits(0, 10, 0), true);
    assert.equal(sizeFits(0, 10, 1), false);
    assert.equal(sizeFits(10, 10, 1), true);
    assert.equal(sizeFits(11, 10, 1), false);
    assert.equal(sizeFits(11, 10, 2), true);
    assert.equal(sizeFits(10, 10, 2), false);
  });
});

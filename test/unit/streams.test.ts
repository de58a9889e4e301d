import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createStreams, type Step, type Streams } from "../../src/view/streams.js";

const MIB = 1024 * 1024;
const SHORT_LINE = 0;

function streamsOf({ blockCount = 10_000, blockSizeBytes = 2 * MIB } = {}) {
  const streams = createStreams({ blockCount, blockSizeBytes });
  const read = (first: number, last = first, lineBlocks = SHORT_LINE): Step =>
    streams.follow({ first, last }, lineBlocks);
  return { streams, read };
}

function countOf({ wanted }: Step): number {
  return Math.max(0, wanted.last - wanted.first + 1);
}

/** Reads blocks in order, each in the sixteen pieces in which the kernel asks for it. */
function readInOrder(streams: Streams, first: number, last: number): Step[] {
  const steps: Step[] = [];
  for (let block = first; block <= last; block += 1) {
    for (let piece = 0; piece < 16; piece += 1) {
      steps.push(streams.follow({ first: block, last: block }, SHORT_LINE));
    }
  }
  return steps;
}

describe("the streams of an open file", () => {
  it("AHEAD-1: a reader in order has 0, 1, 2, 4, 8, 16, and then 16 blocks ahead of it", () => {
    const { streams } = streamsOf();
    const steps = readInOrder(streams, 100, 107);
    const perBlock = steps.filter((_step, index) => index % 16 === 0);
    assert.deepEqual(perBlock.map(countOf), [0, 1, 2, 4, 8, 16, 16, 16]);
    assert.deepEqual(perBlock[3]?.wanted, { first: 104, last: 107 });
    assert.equal(new Set(steps.map(({ stream }) => stream)).size, 1);
    const ofLastPieces = steps.filter((_step, index) => index % 16 === 15).map(countOf);
    assert.deepEqual(ofLastPieces, perBlock.map(countOf), "a block widens the window once");
  });

  it("AHEAD-1: random reads want nothing ahead, and backwards reading neither", () => {
    const { read } = streamsOf();
    for (const block of [5000, 17, 9000, 42, 5005, 700, 9002, 17, 40]) {
      assert.equal(countOf(read(block)), 0, `${block}`);
    }
    for (let block = 3000; block > 2900; block -= 1) {
      assert.equal(countOf(read(block)), 0, `${block}`);
    }
  });

  it("AHEAD-1: a reader in order stays one beside random reads, until it saw none of 64 reads", () => {
    const { streams, read } = streamsOf();
    readInOrder(streams, 0, 5);
    const ended: unknown[] = [];
    let next = 6;
    for (let round = 0; round < 10; round += 1) {
      for (let other = 0; other < 60; other += 1) {
        ended.push(...read(200 + (((round * 60 + other) * 37) % 9000)).ended.filter(isInOrder));
      }
      assert.equal(countOf(read(next)), 16);
      next += 1;
    }
    assert.deepEqual(ended, []);
    for (let other = 0; other < 63; other += 1) {
      assert.deepEqual(read(9000 - 3 * other).ended.filter(isInOrder), []);
    }
    assert.equal(read(4000).ended.filter(isInOrder).length, 1, "the 64th read of others ends it");
  });

  it("AHEAD-1: readers beside one another each have their window", () => {
    const { read } = streamsOf();
    const starts = Array.from({ length: 16 }, (_value, index) => index * 500);
    let last: number[] = [];
    for (let block = 0; block < 6; block += 1) {
      last = starts.map((start) => countOf(read(start + block)));
    }
    assert.deepEqual(
      last,
      starts.map(() => 16),
    );
  });

  it("AHEAD-1: of more readers than are told apart, those read least lately are replaced", () => {
    const { read } = streamsOf();
    for (let block = 0; block < 2; block += 1) {
      for (let reader = 0; reader < 16; reader += 1) read(reader * 500 + block);
    }
    const { ended } = read(9500);
    assert.deepEqual(
      ended.map(({ front }) => front),
      [1],
    );
    const again = read(9700).ended;
    assert.deepEqual(
      again.map(({ front }) => front),
      [9500],
      "one that is not in order goes first",
    );
  });

  it("AHEAD-1: a jump inside the window goes on with the stream; one past it begins another", () => {
    const { streams, read } = streamsOf();
    const [first] = readInOrder(streams, 0, 5);
    const inside = read(15);
    assert.equal(inside.stream, first?.stream);
    assert.deepEqual(inside.wanted, { first: 16, last: 31 });
    assert.equal(inside.jumpedBefore, -1, "who jumped may have been another reader");
    for (let block = 16; block < 25; block += 1) read(block);
    assert.equal(read(25).jumpedBefore, 9);
    const past = read(42);
    assert.notEqual(past.stream, first?.stream);
    assert.equal(countOf(past), 0);
  });

  it("AHEAD-1: a random read inside a reader's window does not cost it its window", () => {
    const { streams, read } = streamsOf();
    readInOrder(streams, 0, 5);
    const { stream } = read(15);
    for (let block = 6; block < 15; block += 1) {
      assert.equal(read(block).stream, stream);
      assert.deepEqual(read(block).wanted, { first: 16, last: 31 });
    }
    assert.deepEqual(read(16).wanted, { first: 17, last: 32 });
  });

  it("AHEAD-1: pieces that arrive out of order belong to their stream", () => {
    const { read } = streamsOf();
    const steps = [read(7), read(8), read(7), read(8), read(9), read(8), read(8), read(9)];
    assert.equal(new Set(steps.map(({ stream }) => stream)).size, 1);
    assert.deepEqual(steps.map(countOf), [0, 1, 1, 1, 2, 2, 2, 2]);
  });

  it("AHEAD-1: nothing is wanted behind the last block", () => {
    const { read } = streamsOf({ blockCount: 8 });
    const wanted = [0, 1, 2, 3, 4, 5, 6, 7, 7].map((block) => countOf(read(block)));
    assert.deepEqual(wanted, [0, 1, 2, 4, 3, 2, 1, 0, 0]);
  });

  it("AHEAD-1: a long line widens the window beyond 16, by doubling, to 64 at most", () => {
    const { read } = streamsOf();
    const line = (block: number, lineBlocks: number) => countOf(read(block, block, lineBlocks));
    const counts = [0, 1, 2, 3, 4, 5, 6, 7].map((block) => line(block, 40));
    assert.deepEqual(counts, [0, 1, 2, 4, 8, 16, 32, 40]);
    assert.deepEqual([line(8, 1000), line(9, 1000), line(10, 3)], [64, 64, 16]);
  });

  it("AHEAD-1: tiny blocks, of which one read touches very many, are wanted by the block too", () => {
    const { read } = streamsOf({ blockCount: 2 ** 24, blockSizeBytes: 1 });
    const KERNEL_READ = 128 * 1024;
    const piece = (index: number) => read(index * KERNEL_READ, (index + 1) * KERNEL_READ - 1);
    const steps = [0, 1, 2, 4, 3, 5, 7, 6, 8].map(piece);
    assert.equal(new Set(steps.map(({ stream }) => stream)).size, 1);
    assert.deepEqual(steps.map(countOf), [0, 1, 2, 4, 4, 8, 16, 16, 16]);
  });

  it("AHEAD-1: what did not come stops the window; past it the window begins again at 1", () => {
    const { streams, read } = streamsOf();
    readInOrder(streams, 0, 5);
    const { stream } = read(6);
    streams.broke(stream, 9);
    streams.broke(stream, 8);
    streams.broke(stream, 20);
    assert.deepEqual(
      [7, 8, 8].map((block) => countOf(read(block))),
      [0, 0, 0],
    );
    assert.deepEqual(
      [9, 10, 11].map((block) => countOf(read(block))),
      [1, 2, 4],
    );
    streams.broke(stream, 5);
    assert.equal(countOf(read(12)), 8, "what is behind the reader stops nothing");
  });

  it("a stream that was ended is not gone on with", () => {
    const { streams, read } = streamsOf();
    readInOrder(streams, 0, 5);
    streams.end(read(6).stream);
    assert.equal(countOf(read(7)), 0);
    assert.equal(countOf(read(8)), 1);
  });
});

function isInOrder({ windowBlocks }: { readonly windowBlocks: number }): boolean {
  return windowBlocks > 0;
}

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockRequest, BlockSource } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { abortReason } from "../../src/core/abort.js";
import { LIMITS } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { GivenUpAhead } from "../../src/core/urgency.js";
import { formatTrailer } from "../../src/hashlist/format.js";
import { parseHashlist } from "../../src/hashlist/parse.js";
import { withMemoryCache } from "../../src/source/memoryCache.js";
import { withSingleFlight } from "../../src/source/singleFlight.js";
import { createStoreThenFetch } from "../../src/source/storeThenFetch.js";
import { createSharedReadAhead, type SharedReadAhead } from "../../src/view/readAhead.js";
import { createView, type View } from "../../src/view/view.js";
import { seededBytes } from "../support/blocks.js";
import { listOf, madeUpHashes, type ListedBytes } from "../support/lists.js";
import { createManualClock } from "../support/manualClock.js";
import { createMemoryStore } from "../support/memoryStore.js";

const NEVER = new AbortController().signal;
const BLOCK_BYTES = 128 * 1024;

/** Blocks that come when the test says so, and what was asked for by its place in the file. */
function heldServer({ list, blocks }: ListedBytes) {
  const indexOf = new Map<BlockHash, number>();
  for (let at = 0; at < list.blockCount; at += 1) indexOf.set(list.hashAt(at), at);
  interface Call {
    readonly index: number;
    readonly request: BlockRequest;
    readonly settle: (outcome: VerifiedBlock | Error) => void;
  }
  const calls: Call[] = [];
  const open = new Set<Call>();
  const source: BlockSource = {
    fetch: (request) =>
      new Promise((resolve, reject) => {
        const settle = (outcome: VerifiedBlock | Error): void => {
          open.delete(call);
          if (outcome instanceof Error) reject(outcome);
          else resolve(outcome);
        };
        const call: Call = { index: indexOf.get(request.hash) ?? -1, request, settle };
        calls.push(call);
        open.add(call);
        request.signal.addEventListener("abort", () => {
          settle(abortReason(request.signal));
        });
      }),
  };
  const blockOf = (index: number): VerifiedBlock | Error =>
    blocks.get(list.hashAt(index)) ?? new Error("no such block");
  const underWay = (): number[] => [...open].map(({ index }) => index).sort((a, b) => a - b);
  return {
    source,
    underWay,
    asked: () => calls.map(({ index }) => index),
    isWaitedFor: (index: number) =>
      [...open].find((call) => call.index === index)?.request.urgency?.isWaitedFor,
    /** Gives what is under way, or the blocks that are named. */
    async give(...indexes: number[]) {
      for (const call of [...open]) {
        if (indexes.length === 0 || indexes.includes(call.index)) call.settle(blockOf(call.index));
      }
      await settled();
    },
    /** In this turn, so that somebody can come before it is known. */
    giveUp(index: number) {
      for (const call of [...open]) {
        if (call.index === index) call.settle(new GivenUpAhead("nobody answers at once"));
      }
    },
    async fail(...indexes: number[]) {
      for (const call of [...open]) {
        if (indexes.includes(call.index)) call.settle(new Error("it did not come"));
      }
      await settled();
    },
  };
}

/** Lets everything run that needs no block. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function fileOf(seed: string, blockCount: number) {
  return listOf(seededBytes(seed, blockCount * BLOCK_BYTES), BLOCK_BYTES);
}

/** A view over memory, single flights, and the held server. */
function viewOf(listed: ListedBytes, shared?: SharedReadAhead) {
  const clock = createManualClock();
  const server = heldServer(listed);
  const source = withMemoryCache(
    withSingleFlight(server.source, { clock, failureMemoryMs: 5000 }),
    { maxBytes: 1000 * BLOCK_BYTES },
  );
  const { list } = listed;
  const sizeBytes = list.sizeBytes ?? 0;
  const readAhead = shared ?? createSharedReadAhead({ clock, maxBytes: 100 * BLOCK_BYTES });
  return { clock, server, source, view: createView({ list, sizeBytes, source, readAhead }) };
}

/** Begins to read some bytes in the middle of a block. */
function beginRead(view: View, block: number, signal = NEVER): Promise<readonly Uint8Array[]> {
  return view.read({ offset: block * BLOCK_BYTES + 1000, length: 4096 }, signal);
}

async function readBlock(
  { view, server }: Pick<ReturnType<typeof viewOf>, "view" | "server">,
  block: number,
): Promise<void> {
  const reading = beginRead(view, block);
  await server.give();
  await reading;
}

describe("read-ahead of an open file", () => {
  it("AHEAD-1: a file read in order is asked for once each block, up to 16 ahead of its reader", async () => {
    const listed = await fileOf("in order", 40);
    const { server, view } = viewOf(listed);
    const furthest: number[] = [];
    for (let block = 0; block < 40; block += 1) {
      for (let piece = 0; piece < 4; piece += 1) await readBlock({ view, server }, block);
      furthest.push(Math.max(...server.asked()) - block);
    }
    assert.deepEqual(furthest.slice(0, 8), [0, 1, 2, 4, 8, 16, 16, 16]);
    assert.deepEqual(
      server.asked(),
      Array.from({ length: 40 }, (_value, index) => index),
    );
    view.close();
  });

  it("READ-2: random reads ask for what they touch and nothing else", async () => {
    const { server, view } = viewOf(await fileOf("random", 60));
    const blocks = [30, 3, 57, 12, 40, 20, 59, 0, 33, 49, 5, 24];
    for (const block of blocks) {
      await readBlock({ view, server }, block);
      await readBlock({ view, server }, block);
    }
    assert.deepEqual(server.asked(), blocks);
  });

  it("AHEAD-1: random reads beside a reader in order cost it nothing", async () => {
    const { server, view } = viewOf(await fileOf("beside", 100));
    for (let block = 0; block < 6; block += 1) await readBlock({ view, server }, block);
    const random = [90, 70, 80, 60, 94, 74, 84, 64, 98, 68, 78, 88, 62, 66, 72, 76, 82, 86];
    for (const block of random) await readBlock({ view, server }, block);
    const before = server.asked().length;
    await readBlock({ view, server }, 6);
    assert.deepEqual(server.asked().slice(before), [22]);
  });

  it("AHEAD-2: a block that its reader comes to need is promoted, and asked for no second time", async () => {
    const { server, view } = viewOf(await fileOf("promoted", 20));
    await readBlock({ view, server }, 0);
    await readBlock({ view, server }, 1);
    const reading = beginRead(view, 2);
    assert.deepEqual(server.underWay(), [3, 4]);
    await server.give(4);
    await reading;
    const next = beginRead(view, 3);
    assert.equal(server.isWaitedFor(3), true);
    assert.equal(server.isWaitedFor(5), false);
    await server.give(3);
    await next;
    assert.deepEqual(
      server.asked().filter((index) => index === 3),
      [3],
    );
    view.close();
  });

  it("AHEAD-2: a reader that gives up ends also what it took over from read-ahead", async () => {
    const { server, view } = viewOf(await fileOf("gives up", 20));
    await readBlock({ view, server }, 0);
    await readBlock({ view, server }, 1);
    void beginRead(view, 2);
    const leaving = new AbortController();
    const reading = beginRead(view, 3, leaving.signal);
    assert.ok(server.underWay().includes(3));
    leaving.abort(new Error("gave up"));
    await assert.rejects(reading, /gave up/);
    await settled();
    assert.ok(!server.underWay().includes(3));
    view.close();
  });

  it("AHEAD-1: closing a file ends what is under way ahead, and leaves reads alone", async () => {
    const { server, view } = viewOf(await fileOf("closed", 40));
    for (let block = 0; block < 5; block += 1) await readBlock({ view, server }, block);
    const reading = beginRead(view, 5);
    const other = beginRead(view, 35);
    assert.deepEqual(server.underWay(), [13, 14, 15, 16, 17, 18, 19, 20, 21, 35]);
    await reading;
    view.close();
    await settled();
    assert.deepEqual(server.underWay(), [35]);
    const before = server.asked().length;
    await readBlock({ view, server }, 6);
    await server.give();
    await other;
    assert.equal(server.asked().length, before, "after the close nothing is asked for ahead");
  });

  it("AHEAD-1: what is ahead of a reader that left is ended after 64 reads of others", async () => {
    const { server, view } = viewOf(await fileOf("left", 200));
    for (let block = 0; block < 5; block += 1) await readBlock({ view, server }, block);
    void beginRead(view, 5);
    await settled();
    const ahead = server.underWay();
    assert.ok(ahead.length > 0);
    for (let read = 1; read <= 64; read += 1) {
      assert.deepEqual(server.underWay(), ahead);
      const block = 199 - 2 * read;
      const reading = beginRead(view, block);
      await server.give(block);
      await reading;
    }
    assert.deepEqual(server.underWay(), []);
  });

  it("AHEAD-1: what is jumped over is ended when the reader has gone on for a window", async () => {
    const { server, view } = viewOf(await fileOf("jump", 100));
    for (let block = 0; block < 6; block += 1) await readBlock({ view, server }, block);
    // 7 to 21 have come. From here on only what is read comes.
    for (const block of [20, 36]) {
      const reading = beginRead(view, block);
      await server.give(block);
      await reading;
    }
    assert.deepEqual(server.underWay().slice(0, 3), [22, 23, 24]);
    for (let block = 37; block <= 39; block += 1) {
      const reading = beginRead(view, block);
      await server.give(block);
      await reading;
    }
    assert.deepEqual(server.underWay()[0], 23);
    view.close();
  });

  it("AHEAD-1: a block that did not come ahead is no error, stops the window, and is asked for by its reader", async () => {
    const { server, view } = viewOf(await fileOf("failing", 40));
    for (let block = 0; block < 3; block += 1) await readBlock({ view, server }, block);
    void beginRead(view, 3);
    assert.deepEqual(server.underWay(), [5, 6, 7]);
    await server.fail(5, 6);
    await server.give(7);
    const before = server.asked().length;
    await readBlock({ view, server }, 4);
    assert.equal(server.asked().length, before, "nothing more is asked for before the gap");
    const reading = beginRead(view, 5);
    assert.deepEqual(server.underWay(), [5]);
    await server.give();
    await reading;
    void beginRead(view, 6);
    assert.deepEqual(server.asked().slice(before), [5, 6], "7 has come already");
    await server.give();
    void beginRead(view, 7);
    assert.deepEqual(server.asked().slice(before), [5, 6, 8, 9]);
    view.close();
  });

  it("AHEAD-2: a block that was given up is asked for again by a reader that came in that moment", async () => {
    const { server, view } = viewOf(await fileOf("given up", 20));
    await readBlock({ view, server }, 0);
    void beginRead(view, 1);
    assert.deepEqual(server.underWay(), [1, 2]);
    server.giveUp(2);
    const reading = beginRead(view, 2);
    await settled();
    const askedFor2 = server.asked().filter((index) => index === 2);
    assert.deepEqual(askedFor2, [2, 2]);
    assert.equal(server.isWaitedFor(2), true);
    await server.give();
    await reading;
    view.close();
  });

  it("AHEAD-2: blocks of which two do not fit into the bytes in flight are never asked for ahead", async () => {
    const asked = async (blockSizeBytes: number) => {
      const trailer = formatTrailer({ sizeBytes: 6 * blockSizeBytes, blockSizeBytes });
      const text = `${madeUpHashes(6)}${trailer}`;
      const list = await parseHashlist([Buffer.from(text)], { name: "large" });
      const shared = createSharedReadAhead({ clock: createManualClock() });
      const { server, view } = viewOf({ text, list, blocks: new Map() }, shared);
      for (const offset of [0, blockSizeBytes]) void view.read({ offset, length: 1 }, NEVER);
      await settled();
      return server.asked();
    };
    const half = LIMITS.memory.inFlightBytes / 2;
    assert.deepEqual(await asked(half), [0, 1, 2]);
    assert.deepEqual(await asked(half + 1), [0, 1]);
  });

  it("AHEAD-2: all open files share one budget; when it is used up, nothing is asked for ahead", async () => {
    const clock = createManualClock();
    const shared = createSharedReadAhead({ clock, maxBytes: 10 * BLOCK_BYTES });
    const files = await Promise.all(
      ["one", "two"].map(async (seed) => viewOf(await fileOf(seed, 50), shared)),
    );
    const [one, two] = files;
    assert.ok(one && two);
    for (let block = 0; block < 8; block += 1) await readBlock(one, block);
    assert.equal(Math.max(...one.server.asked()), 17, "ten ahead of 7");
    for (let block = 0; block < 3; block += 1) await readBlock(two, block);
    assert.equal(Math.max(...two.server.asked()), 2, "nothing is left");
    for (let block = 8; block < 13; block += 1) await readBlock(one, block);
    assert.equal(Math.max(...one.server.asked()), 17, "it has more than its share");
    await readBlock(two, 3);
    await readBlock(two, 4);
    assert.equal(Math.max(...two.server.asked()), 9, "half of it ahead of 4");
    one.view.close();
    await readBlock(two, 5);
    assert.equal(Math.max(...two.server.asked()), 15, "all of it ahead of 5");
    two.view.close();
  });

  it("AHEAD-2: a read passes the read-ahead of another file that is queued", async () => {
    const long = await fileOf("long", 40);
    const other = await fileOf("other", 3);
    const all = { ...long, blocks: new Map([...long.blocks, ...other.blocks]) };
    const server = heldServer(all);
    const clock = createManualClock();
    const stored = createStoreThenFetch({
      clock,
      store: createMemoryStore(),
      fetcher: server.source,
      log: silentLogger,
      blocksInFlight: 4,
      inFlightBytes: 100 * BLOCK_BYTES,
      storeReadBytes: 100 * BLOCK_BYTES,
      keptForWaiting: { blocksInFlight: 1, inFlightBytes: 0, storeReadBytes: 0 },
    });
    const source = withMemoryCache(withSingleFlight(stored, { clock, failureMemoryMs: 5000 }), {
      maxBytes: 1000 * BLOCK_BYTES,
    });
    const readAhead = createSharedReadAhead({ clock });
    const viewOver = ({ list }: ListedBytes) =>
      createView({ list, sizeBytes: list.sizeBytes ?? 0, source, readAhead });
    const view = viewOver(long);
    for (let block = 0; block < 4; block += 1) {
      const reading = beginRead(view, block);
      await settled();
      while (server.underWay().length > 0) await server.give();
      await reading;
    }
    await beginRead(view, 4);
    await settled();
    assert.deepEqual(server.underWay(), [8, 9, 10], "read-ahead leaves one place; 11 and 12 wait");
    void beginRead(viewOver(other), 1);
    await settled();
    assert.equal(server.asked().at(-1), -1, "the other file's block is on its way");
    void beginRead(view, 12);
    await server.give(8);
    assert.equal(server.asked().at(-1), 12, "what is read passes what lies before it");
    view.close();
  });
});

/** Seeds that are read wrong, hashed while the index is held, or asked for before the store can be written. */
import assert from "node:assert/strict";
import { writeFile, readFile, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import Database from "better-sqlite3";
import type { BlockSource } from "../../src/block/ports.js";
import { systemClock, type Clock } from "../../src/core/clock.js";
import { PsyncError } from "../../src/core/errors.js";
import { createReopeningStore } from "../../src/store/reopeningStore.js";
import { startScrub } from "../../src/store/scrub.js";
import type { Store } from "../../src/store/openStore.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { blocksOf, hashNow, writeSeed } from "../support/seeds.js";
import { createLineLog, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { createGate, until } from "../support/until.js";

const SIZE = 4096;

/** The machine's clock, many times as fast. */
function fastClock(times: number): Clock {
  return {
    nowMs: () => systemClock.nowMs() * times,
    after: (delayMs, callback) => systemClock.after(delayMs / times, callback),
  };
}

/** A store that lists a file of five blocks, and ways to spoil its third block under the same mtime. */
async function fixture(t: TestContext) {
  const folder = await tempFolder(t);
  const path = join(folder, "store");
  const file = join(folder, "file");
  const bytes = seededBytes("file", 5 * SIZE);
  const blocks = await blocksOf(bytes, SIZE);
  const spoilt = Buffer.from(bytes);
  spoilt.writeUInt8(spoilt.readUInt8(2 * SIZE) ^ 1, 2 * SIZE);
  await writeSeed(file, bytes);
  const { mtimeNs } = await stat(file, { bigint: true });
  const list = async (store: Store): Promise<void> => {
    const seed = { path: file, sizeBytes: bytes.length, mtimeNs, blockSizeBytes: SIZE };
    const writer = store.seeds.begin(seed);
    for (const { hash } of blocks) await writer.add(hash);
    await writer.keep();
  };
  const write = (content: Uint8Array): Promise<void> => writeSeed(file, content);
  return { folder, path, file, bytes, blocks, spoilt, list, write };
}

async function readable(store: Store, blocks: Awaited<ReturnType<typeof blocksOf>>) {
  const reads = await Promise.all(blocks.map(({ hash }) => store.blocks.read(hash)));
  return reads.filter((read) => read !== undefined).length;
}

describe("seeds in trouble", () => {
  it("NOCOPY-1: a block that was read wrong is there again when the file is right again", async (t) => {
    const { path, bytes, blocks, spoilt, list, write } = await fixture(t);
    const log = createLineLog();
    const store = await openTestStore(t, path, { log });
    await list(store);
    await write(spoilt);
    assert.equal(await readable(store, blocks), 4);
    assert.equal(await readable(store, blocks), 4);
    assert.equal(log.lines.filter((line) => line.startsWith("warn")).length, 1);
    assert.deepEqual(
      (await store.seeds.lost()).map(({ state }) => state),
      ["misread"],
    );
    assert.equal(await store.blocks.find(blocks[2]?.hash as never), undefined);
    await write(bytes);
    assert.equal(await readable(store, blocks), 5);
    assert.equal(await hashNow(store), 3 * SIZE);
    assert.deepEqual(await store.seeds.lost(), []);
    assert.equal((await store.blocks.find(blocks[2]?.hash as never))?.place, "seed");
  });

  it("NOCOPY-1: hashing a file that is still wrong changes nothing, and it is told as long as it is", async (t) => {
    const { path, bytes, blocks, spoilt, list, write } = await fixture(t);
    const store = await openTestStore(t, path);
    await list(store);
    await write(spoilt);
    assert.equal(await readable(store, blocks), 4);
    for (let i = 0; i < 3; i += 1) {
      assert.ok((await hashNow(store)) > 0);
      assert.deepEqual(
        (await store.seeds.lost()).map(({ state }) => state),
        ["misread"],
      );
    }
    assert.equal(await readable(store, blocks), 4);
    await write(bytes);
    assert.equal(await readable(store, blocks), 5);
    await hashNow(store);
    assert.deepEqual(await store.seeds.lost(), []);
  });

  it("NOCOPY-1: such a file is hashed again behind a mount", async (t) => {
    const { path, bytes, blocks, spoilt, list, write } = await fixture(t);
    const store = await openTestStore(t, path, { clock: fastClock(1000) });
    await list(store);
    store.seeds.hashBehind();
    await write(spoilt);
    assert.equal(await readable(store, blocks), 4);
    await write(bytes);
    await until("it is hashed again", async () => {
      if ((await store.seeds.lost()).length === 0) return true;
      // Where it was hashed before it was right again, a read says so.
      await readable(store, blocks);
      return false;
    });
  });

  it("SEED-4: what could not be hashed while another process held the index is hashed later", async (t) => {
    const { path, file, blocks } = await fixture(t);
    const log = createLineLog();
    const store = await openTestStore(t, path, { clock: fastClock(100), log });
    const holder = new Database(join(path, "index.db"));
    cleanUp(t, () => holder.close());
    holder.exec("BEGIN IMMEDIATE");
    store.seeds.lookFor(SIZE);
    await store.seeds.use([file]);
    store.seeds.hashBehind();
    await until("it did not work", () => log.lines.some((line) => /seeds.*index/.test(line)));
    holder.exec("ROLLBACK");
    await until("its blocks are found", async () => (await readable(store, blocks)) === 5);
  });

  it("SEED-4: files that were hashed lately and changed do not keep others from being hashed", async (t) => {
    const { path, folder, file, blocks } = await fixture(t);
    const store = await openTestStore(t, path);
    store.seeds.lookFor(SIZE);
    const files = Array.from({ length: 200 }, (_, i) => join(folder, "many", `${i}`));
    for (const [i, each] of files.entries()) await writeSeed(each, seededBytes(`${i}`, SIZE));
    await store.seeds.use([join(folder, "many")]);
    store.seeds.hashBehind();
    const hashes = await Promise.all(
      files.map(async (each) => (await blocksOf(await readFile(each), SIZE))[0]?.hash),
    );
    const found = async (): Promise<number> => {
      const all = await Promise.all(hashes.map((hash) => store.blocks.find(hash as never)));
      return all.filter(Boolean).length;
    };
    await until("all are hashed", async () => (await found()) === 200);
    for (const each of files) await utimes(each, 2000, 2000);
    assert.equal(await found(), 0);
    await store.seeds.use([file]);
    await until("others are still hashed", async () => (await readable(store, blocks)) === 5);
  });

  it("DISK-1: a store that could not be written at the start has its seeds and is checked once it can be", async (t) => {
    const { path, file, blocks } = await fixture(t);
    await (await openTestStore(t, path)).close();
    const bad = makeBlock(1);
    await writeFile(join(path, "cache", bad.hash), "not this block");
    const log = createLineLog();
    const clock = fastClock(10_000);
    const reader = await openTestStore(t, path, { readOnly: true, log });
    const repaired = createGate();
    const store = createReopeningStore({
      reader,
      cause: new Error("the disk was full"),
      reopen: async () => {
        await repaired.passed;
        return openTestStore(t, path, { log });
      },
      clock,
      log,
    });
    cleanUp(t, () => store.close());
    store.seeds.lookFor(SIZE);
    await store.seeds.use([file]);
    store.seeds.hashBehind();
    const scrub = startScrub({
      store,
      source: undefined,
      readers: { waitingCount: 0, lastEndedMs: -Infinity },
      clock,
      nowUnixMs: Date.now,
      log,
    });
    cleanUp(t, () => scrub.close());
    assert.equal(await readable(store, blocks), 0);
    repaired.open();
    await until("its seeds are used", async () => (await readable(store, blocks)) === 5);
    await until("it is checked", async () => (await store.blocks.find(bad.hash)) === undefined);
  });
});

describe("a kept block that a mount's checking has again", () => {
  it("FSCK-2: is claimed by nobody, found or not, so that gc may give it up", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    const [had, lost] = [makeBlock(1), makeBlock(2)];
    for (const { hash } of [had, lost]) {
      await writeFile(join(path, "quarantine", `${hash}.kept.aaaaaaaaaaaa`), "bad");
    }
    const source: BlockSource = {
      fetch: ({ hash }) => (hash === had.hash ? Promise.resolve(had) : notThere(hash)),
    };
    const scrub = startScrub({
      store,
      source,
      readers: { waitingCount: 0, lastEndedMs: -Infinity },
      clock: fastClock(10_000),
      nowUnixMs: Date.now,
      log: createLineLog(),
    });
    cleanUp(t, () => scrub.close());
    await until("one is kept again", async () => (await store.upkeep.lostBlocks()).length === 1);
    await scrub.close();
    assert.equal((await store.blocks.find(had.hash))?.place, "kept");
    const claimed = store.claimed();
    assert.deepEqual(
      [had, lost].map(({ hash }) => claimed.has(hash)),
      [false, false],
    );
  });
});

function notThere(hash: string): Promise<never> {
  return Promise.reject(new PsyncError("ERR_PSYNC_BLOCK_NOT_FOUND", `nobody has ${hash}`));
}

/** Blocks in files of the user's, through a store: found, read, copied, and never wrong. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmod,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { isPsyncError } from "../../src/core/errors.js";
import type { Store } from "../../src/store/openStore.js";
import { createDice, seededBytes } from "../support/blocks.js";
import { SEED } from "../support/seed.js";
import { blocksOf, hashNow, writeSeed } from "../support/seeds.js";
import { createLineLog, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const SIZE = 4096;

/** A store, and a file of ten blocks and a half that is a seed of it. */
async function fixture(t: TestContext, options: { hash?: boolean } = {}) {
  const folder = await tempFolder(t);
  const path = join(folder, "store");
  const file = join(folder, "old");
  const bytes = seededBytes("old", 10 * SIZE + SIZE / 2);
  await writeSeed(file, bytes);
  const blocks = await blocksOf(bytes, SIZE);
  const open = async (seeds: readonly string[] = [file]): Promise<Store> => {
    const store = await openTestStore(t, path);
    store.seeds.lookFor(SIZE);
    await store.seeds.use(seeds);
    return store;
  };
  const store = await open();
  if (options.hash !== false) await hashNow(store);
  return { folder, path, file, bytes, blocks, store, open };
}

async function presentCount(store: Store, hashes: readonly { hash: string }[]): Promise<number> {
  let count = 0;
  for (const { hash } of hashes) if (await store.blocks.find(hash as never)) count += 1;
  return count;
}

describe("seeds of a store", () => {
  it("SEED-1: blocks are found at block boundaries, the short last one too, and read from the file", async (t) => {
    const { store, blocks, file, bytes } = await fixture(t);
    assert.equal(blocks.length, 11);
    for (const { hash, bytes: expected } of blocks) {
      assert.deepEqual(await store.blocks.find(hash), {
        place: "seed",
        sizeBytes: expected.length,
      });
      assert.deepEqual((await store.blocks.read(hash))?.bytes, expected);
    }
    assert.deepEqual(await readFile(file), bytes);
  });

  it("SEED-1: keeping one copies it, so that the file may go", async (t) => {
    const { store, blocks, file } = await fixture(t);
    const [first, second] = blocks;
    assert.ok(first && second);
    assert.equal(await store.blocks.pin(first.hash), true);
    await store.blocks.keep([second]);
    await rm(file);
    for (const block of [first, second]) {
      assert.equal((await store.blocks.find(block.hash))?.place, "kept");
      assert.deepEqual((await store.blocks.read(block.hash))?.bytes, block.bytes);
    }
    assert.equal(await presentCount(store, blocks), 2);
  });

  it("SEED-1: a block of many files, and one that a file has many times, is there while one copy is", async (t) => {
    const { folder, store } = await fixture(t);
    const zeros = Buffer.alloc(64 * SIZE);
    const files = ["a", "b", "c"].map((name) => join(folder, "many", name));
    for (const file of files) await writeSeed(file, zeros);
    await store.seeds.use([join(folder, "many")]);
    await hashNow(store);
    const [block] = await blocksOf(zeros, SIZE);
    assert.ok(block);
    for (const file of files) {
      assert.deepEqual((await store.blocks.read(block.hash))?.bytes, block.bytes);
      await rm(file);
    }
    assert.equal(await store.blocks.read(block.hash), undefined);
  });

  it(`SEED-2: whatever happens to the file, a read gives the block or nothing (seed ${SEED})`, async (t) => {
    const { store, blocks, file, bytes } = await fixture(t);
    const dice = createDice(`seeds ${SEED}`);
    const random = (below: number): number => dice.roll(below);
    const spoil: readonly (() => Promise<void>)[] = [
      async () => {
        // The mtime as it was: only the bytes tell.
        const other = Buffer.from(bytes);
        other.writeUInt8(other.readUInt8(random(bytes.length)) ^ 1, random(bytes.length));
        await writeFile(file, other);
        await utimes(file, 1000, 1000);
      },
      async () => {
        await truncate(file, random(bytes.length)).catch(() => undefined);
        await utimes(file, 1000, 1000).catch(() => undefined);
      },
      () => rm(file, { force: true }),
      async () => {
        await writeSeed(`${file}.new`, seededBytes(random(1000), bytes.length));
        await rename(`${file}.new`, file);
      },
      () => writeSeed(file, Buffer.concat([Buffer.from("x"), bytes]), 2000),
      () => writeSeed(file, bytes),
      async () => {
        await hashNow(store);
      },
    ];
    let goodCount = 0;
    for (let i = 0; i < 300; i += 1) {
      const reads = Array.from({ length: 4 }, async () => {
        const block = blocks[random(blocks.length)];
        assert.ok(block);
        const read = await store.blocks.read(block.hash);
        if (read) assert.deepEqual(read.bytes, block.bytes);
        await store.blocks.find(block.hash);
        return read !== undefined;
      });
      await Promise.all([...reads, spoil[random(spoil.length)]?.()]);
      for (const read of reads) if (await read) goodCount += 1;
    }
    assert.ok(goodCount > 0, "no read found a block");
    await writeSeed(file, bytes, 3000);
    await hashNow(store);
    assert.equal(await presentCount(store, blocks), blocks.length);
  });

  it("SEED-2: a changed file has its old blocks no more, and the new ones once it is hashed again", async (t) => {
    const { store, blocks, file, bytes } = await fixture(t);
    const other = Buffer.from(bytes);
    other.writeUInt8(other.readUInt8(0) ^ 1, 0);
    await writeSeed(file, other, 2000);
    assert.equal(await presentCount(store, blocks), 0);
    assert.equal(await hashNow(store), bytes.length);
    assert.equal(await presentCount(store, blocks), blocks.length - 1);
    assert.equal(await presentCount(store, await blocksOf(other, SIZE)), blocks.length);
  });

  it("SEED-3: what the index remembers of files that were not named is not asked, and hashed only once", async (t) => {
    const { blocks, bytes, open, store, file, folder } = await fixture(t);
    await store.close();
    const other = await open([]);
    assert.equal(await presentCount(other, blocks), 0);
    assert.equal(await other.blocks.read(blocks[0]?.hash as never), undefined);
    await other.close();
    const again = await open([folder]);
    assert.equal(await hashNow(again), 0);
    assert.equal(await presentCount(again, blocks), blocks.length);
    again.seeds.lookFor(2 * SIZE);
    assert.equal(await hashNow(again), bytes.length);
    again.seeds.exclude(file);
    assert.equal(await presentCount(again, blocks), 0);
  });

  it("SEED-3: in a folder symlinks are not followed, and pipes, odd names and the store are passed over", async (t) => {
    const folder = await tempFolder(t);
    const seeds = join(folder, "seeds");
    const outside = join(folder, "outside");
    const secret = seededBytes("outside", SIZE);
    await writeSeed(join(outside, "secret"), secret);
    await mkdir(join(seeds, "deep", "er"), { recursive: true });
    await symlink(seeds, join(seeds, "deep", "loop"));
    await symlink(outside, join(seeds, "out"));
    await symlink(join(outside, "secret"), join(seeds, "secret"));
    await symlink("nowhere", join(seeds, "dangling"));
    execFileSync("mkfifo", [join(seeds, "pipe")]);
    await writeFile(Buffer.concat([Buffer.from(`${seeds}/`), Buffer.from([0xff, 0xfe])]), "odd");
    const newline = seededBytes("newline", SIZE);
    await writeSeed(join(seeds, "deep", "er", "new\nline"), newline);
    await writeSeed(join(seeds, "empty"), Buffer.alloc(0));
    const log = createLineLog();
    const store = await openTestStore(t, join(seeds, "store"), { log });
    const cached = await blocksOf(seededBytes("cached", SIZE), SIZE);
    for (const block of cached) await store.blocks.cache(block);
    store.seeds.lookFor(SIZE);
    // The link itself was named.
    await symlink(seeds, join(folder, "link"));
    await store.seeds.use([join(folder, "link"), join(folder, "not there")]);
    await hashNow(store);
    assert.equal(await presentCount(store, await blocksOf(newline, SIZE)), 1);
    assert.equal(await presentCount(store, await blocksOf(secret, SIZE)), 0);
    assert.ok(log.lines.some((line) => line.includes("1 names are not UTF-8")));
    assert.ok(log.lines.some((line) => line.includes(join(folder, "not there"))));
    assert.ok(!log.lines.some((line) => line.startsWith("error")));
    assert.equal((await store.blocks.find(cached[0]?.hash as never))?.place, "cached");
  });

  it("SEED-3: a seed's place taken by a symlink, a pipe or a folder is nothing", async (t) => {
    const { store, blocks, file, folder } = await fixture(t);
    await rename(file, join(folder, "moved"));
    for (const replace of [
      () => symlink("moved", file),
      () => Promise.resolve(execFileSync("mkfifo", [file])),
      () => mkdir(file),
    ]) {
      await replace();
      assert.equal(await presentCount(store, blocks), 0);
      assert.equal(await store.blocks.read(blocks[0]?.hash as never), undefined);
      await rm(file, { recursive: true });
    }
    await rename(join(folder, "moved"), file);
    assert.equal(await presentCount(store, blocks), blocks.length);
  });

  it("SEED-4: hashing that was stopped goes on where it was", async (t) => {
    const { store, blocks, file, bytes, open } = await fixture(t, { hash: false });
    const stop = new AbortController();
    let readBytes = 0;
    const stopped = store.seeds.hash({
      signal: stop.signal,
      listed: false,
      onBytes: (sizeBytes) => {
        readBytes += sizeBytes;
        if (readBytes > 5 * SIZE) stop.abort(new Error("enough"));
      },
    });
    await assert.rejects(stopped, /enough/);
    assert.ok((await presentCount(store, blocks)) >= 5);
    await store.close();
    const again = await open([file]);
    assert.ok((await hashNow(again)) <= bytes.length - 5 * SIZE);
    assert.equal(await presentCount(again, blocks), blocks.length);
  });

  it("SEED-4: behind a store it hashes what is named, what is looked for later and what changes, and ends with it", async (t) => {
    const { store, blocks, file, bytes } = await fixture(t, { hash: false });
    const all = (size: number, of: Uint8Array = bytes) =>
      until("all are found", async () => {
        const wanted = await blocksOf(of, size);
        return (await presentCount(store, wanted)) === wanted.length;
      });
    store.seeds.hashBehind();
    await all(SIZE);
    store.seeds.lookFor(3 * SIZE);
    await all(3 * SIZE);
    const other = seededBytes("other", 2 * bytes.length);
    // Of those that hashed it lately, only a later start hashes it again.
    await writeSeed(`${file}2`, other);
    await store.seeds.use([`${file}2`]);
    await all(SIZE, other);
    assert.equal(await presentCount(store, blocks), blocks.length);
    await store.close();
  });

  it("SEED-2: a file that cannot be read is no error", async (t) => {
    const { store, blocks, file } = await fixture(t, { hash: false });
    await chmod(file, 0);
    await hashNow(store);
    // Root reads it all the same.
    const count = await presentCount(store, blocks);
    assert.ok(count === 0 || process.getuid?.() === 0);
  });

  it("SEED-2: a store that is open for reading only has no seeds, and says so", async (t) => {
    const { path, file, blocks, store } = await fixture(t);
    await store.close();
    const log = createLineLog();
    const readOnly = await openTestStore(t, path, { readOnly: true, log });
    await readOnly.seeds.use([file]);
    assert.ok(log.lines.some((line) => line.includes("no seeds are used")));
    assert.equal(await hashNow(readOnly), 0);
    assert.equal(await presentCount(readOnly, blocks), 0);
    const seed = { path: file, sizeBytes: 1, mtimeNs: 1n, blockSizeBytes: SIZE };
    const isStoreError = (error: unknown): boolean => isPsyncError(error, "ERR_PSYNC_STORE");
    await assert.rejects(readOnly.seeds.begin(seed).keep(), isStoreError);
  });
});

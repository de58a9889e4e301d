/** The list of seeds that stay: what is in it for good, whoever writes to it and whatever tore it. */
import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { SeedFile } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { storeLayout, type StoreLayout } from "../../src/store/layout.js";
import type { Store } from "../../src/store/openStore.js";
import { createSeedList, readSeedList } from "../../src/store/seedList.js";
import { seededBytes } from "../support/blocks.js";
import { blocksOf, hashNow, writeSeed } from "../support/seeds.js";
import { openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const SIZE = 4096;

async function layoutOf(t: TestContext) {
  const path = join(await tempFolder(t), "store");
  const layout = storeLayout(path);
  await mkdir(layout.claims, { recursive: true });
  return layout;
}

function listAt(layout: StoreLayout) {
  return createSeedList({ layout, clock: systemClock, log: silentLogger });
}

const seedAt = (path: string, mtimeNs = 10n ** 18n + 1n): SeedFile => ({
  path,
  sizeBytes: 5000,
  mtimeNs,
  blockSizeBytes: SIZE,
});

async function read(layout: ReturnType<typeof storeLayout>): Promise<SeedFile[]> {
  const files: SeedFile[] = [];
  for await (const file of readSeedList(layout)) files.push(file);
  return files;
}

/** A listed file of a store. */
async function listed(store: Store, path: string, bytes: Uint8Array): Promise<void> {
  await writeSeed(path, bytes);
  const { size, mtimeNs } = await stat(path, { bigint: true });
  const seed = store.seeds.begin({
    path,
    sizeBytes: Number(size),
    mtimeNs,
    blockSizeBytes: SIZE,
  });
  for (const { hash } of await blocksOf(bytes, SIZE)) await seed.add(hash);
  await seed.keep();
}

describe("the list of seeds", () => {
  it("NOCOPY-1: any path that is text comes back, for this user only, and a file is in it once", async (t) => {
    const layout = await layoutOf(t);
    assert.deepEqual(await read(layout), []);
    const files = ["/a\nb", '/quo"te\\', "/nül\u2028", "/emoji 🙂"].map((path) => seedAt(path));
    const list = listAt(layout);
    for (const file of [...files, ...files]) await list.add(file);
    const other = listAt(layout);
    for (const file of files) await other.add(file);
    assert.deepEqual(await read(layout), files);
    assert.equal((await stat(layout.seeds)).mode & 0o777, 0o600);
    const changed = seedAt("/a\nb", 2n);
    await other.add(changed);
    assert.deepEqual(await read(layout), [...files, changed]);
  });

  it("NOCOPY-1: many who add at once lose nothing", async (t) => {
    const layout = await layoutOf(t);
    const files = Array.from({ length: 90 }, (_, i) => seedAt(`/file ${i}`));
    const addAll = async (first: number): Promise<void> => {
      const list = listAt(layout);
      await Promise.all(files.slice(first, first + 30).map((file) => list.add(file)));
    };
    await Promise.all([0, 30, 60].map(addAll));
    const paths = (await read(layout)).map(({ path }) => path).sort();
    assert.deepEqual(paths, files.map(({ path }) => path).sort());
  });

  it("NOCOPY-1: a line that a crash tore, and one that makes no sense, cost only themselves", async (t) => {
    const layout = await layoutOf(t);
    const list = listAt(layout);
    await list.add(seedAt("/first"));
    const torn = '{"path":"/torn","sizeBy';
    await appendFile(layout.seeds, `\n${torn}`);
    await list.add(seedAt("/second"));
    const senseless = [
      "[]",
      "null",
      '{"path":"relative","sizeBytes":1,"mtimeNs":"1","blockSizeBytes":4096}',
      '{"path":"/a","sizeBytes":-1,"mtimeNs":"1","blockSizeBytes":4096}',
      '{"path":"/a","sizeBytes":1,"mtimeNs":"x","blockSizeBytes":4096}',
      '{"path":"/a","sizeBytes":1,"mtimeNs":"1","blockSizeBytes":0}',
      '{"path":"/a\\u0000","sizeBytes":1,"mtimeNs":"1","blockSizeBytes":4096}',
      "\0".repeat(4096),
    ];
    await appendFile(layout.seeds, senseless.join("\n"));
    await list.add(seedAt("/third"));
    const paths = (await read(layout)).map(({ path }) => path);
    assert.deepEqual(paths, ["/first", "/second", "/third"]);
    assert.match(await readFile(layout.seeds, "utf8"), /"\/torn"/);
  });

  it("NOCOPY-1: where it cannot be written, nothing is said to be a seed", async (t) => {
    const layout = await layoutOf(t);
    await symlink("/dev/null", layout.seeds);
    const isStoreError = (error: unknown): boolean => isPsyncError(error, "ERR_PSYNC_STORE");
    await assert.rejects(listAt(layout).add(seedAt("/a")), isStoreError);
    await rm(layout.seeds);
    await mkdir(layout.seeds);
    await assert.rejects(listAt(layout).add(seedAt("/a")), isStoreError);
  });

  it("NOCOPY-1: lines that say nothing any more go, whoever adds meanwhile, and no other line does", async (t) => {
    const layout = await layoutOf(t);
    const stale = (i: number): string =>
      JSON.stringify({ ...seedAt("/touched"), mtimeNs: String(i) });
    const addAll = async (name: string): Promise<void> => {
      const list = listAt(layout);
      for (let i = 0; i < 20; i += 1) {
        const lines = Array.from({ length: 200 }, (_, j) => stale(j));
        await appendFile(layout.seeds, `\n${lines.join("\n")}\n`);
        await list.add(seedAt(`/${name} ${i}`));
        await list.add(seedAt(`/touched by ${name}`, BigInt(i)));
      }
    };
    // What this appends without the lock may go; it is stale.
    await Promise.all(["a", "b", "c"].map(addAll));
    const other = listAt(layout);
    await appendFile(
      layout.seeds,
      `${Array.from({ length: 2000 }, (_, j) => stale(j)).join("\n")}\n`,
    );
    await other.add(seedAt("/touched", 7n));
    const files = await read(layout);
    assert.equal(files.length, 64);
    assert.equal(new Set(files.map(({ path }) => path)).size, 64);
    const touched = files.filter(({ path }) => path.startsWith("/touched"));
    assert.deepEqual(touched.map(({ mtimeNs }) => mtimeNs).sort(), [19n, 19n, 19n, 7n]);
    assert.equal((await stat(layout.seeds)).mode & 0o777, 0o600);
  });

  it("NOCOPY-2: with the index gone, listed files are hashed again as they are, and those taken off the list are not", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const [stays, goes] = [join(folder, "stays"), join(folder, "goes")];
    const bytes = seededBytes("stays", 5 * SIZE + 1);
    const otherBytes = seededBytes("goes", 5 * SIZE);
    let store = await openTestStore(t, path);
    await listed(store, stays, bytes);
    await listed(store, goes, otherBytes);
    const found = async (of: Uint8Array): Promise<number> => {
      let count = 0;
      for (const { hash, bytes: expected } of await blocksOf(of, SIZE)) {
        if (!(await store.blocks.find(hash))) continue;
        assert.deepEqual((await store.blocks.read(hash))?.bytes, expected);
        count += 1;
      }
      return count;
    };
    assert.deepEqual([await found(bytes), await found(otherBytes)], [6, 5]);
    assert.equal(await hashNow(store), 0);
    await store.close();

    for (const suffix of ["", "-wal", "-shm"]) {
      await rm(join(path, `index.db${suffix}`), { force: true });
    }
    store = await openTestStore(t, path);
    assert.deepEqual([await found(bytes), await found(otherBytes)], [0, 0]);
    assert.deepEqual(
      (await store.seeds.lost()).map(({ state }) => state),
      ["not hashed", "not hashed"],
    );
    assert.equal(await hashNow(store), bytes.length + otherBytes.length);
    assert.deepEqual([await found(bytes), await found(otherBytes)], [6, 5]);
    assert.deepEqual(await store.seeds.lost(), []);

    const seeds = join(path, "seeds");
    const lines = (await readFile(seeds, "utf8")).split("\n");
    await writeFile(seeds, lines.filter((line) => !line.includes('/goes"')).join("\n"));
    await hashNow(store);
    assert.deepEqual([await found(bytes), await found(otherBytes)], [6, 0]);
    await rm(stays);
    assert.deepEqual(await store.seeds.lost(), [{ path: stays, state: "gone" }]);
    await writeSeed(stays, otherBytes, 5000);
    assert.deepEqual(await store.seeds.lost(), [{ path: stays, state: "changed" }]);
    assert.equal(await found(bytes), 0);
    assert.equal(await hashNow(store), otherBytes.length);
    assert.equal(await found(otherBytes), 5);
  });
});

/** The index may be lost in every way there is: blocks are read on, and what can be learned is learned again. */
import assert from "node:assert/strict";
import { mkdir, open, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import Database from "better-sqlite3";
import type { Store } from "../../src/store/openStore.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { createLineLog, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const DIGEST = "ab".repeat(32);
const cached = [0, 1, 2, 3].map((number) => makeBlock(number, 4096));

/** Closes a store of four cached blocks and a learned size, lets its index be spoiled, and opens it again. */
async function reopenAfter(
  t: TestContext,
  spoil: (indexPath: string) => Promise<void> | void,
): Promise<{ store: Store; path: string; lines: readonly string[] }> {
  const path = join(await tempFolder(t), "store");
  const first = await openTestStore(t, path);
  for (const block of cached) await first.blocks.cache(block);
  first.sizes.set(DIGEST, 12_345);
  await first.close();
  // Oldest last, so that the order by time is not the order of writing.
  for (const [i, { hash }] of cached.entries()) {
    await utimes(join(path, "cache", hash), 1000 - i, 1000 - i);
  }
  await spoil(join(path, "index.db"));
  const log = createLineLog();
  return { store: await openTestStore(t, path, { log }), path, lines: log.lines };
}

async function assertReadable(store: Store, blocks: readonly VerifiedBlock[]): Promise<void> {
  for (const block of blocks) assert.ok(await store.blocks.read(block.hash));
}

function indexedCount(path: string): number {
  const db = new Database(join(path, "index.db"), { readonly: true });
  try {
    return db.prepare<[], { n: number }>("SELECT count(*) AS n FROM cached").get()?.n ?? -1;
  } catch {
    return -1;
  } finally {
    db.close();
  }
}

function rebuilt(path: string): Promise<void> {
  return until("the index knows what is cached", () => indexedCount(path) === cached.length);
}

describe("STORE-2: the index", () => {
  it("remembers learned sizes over a restart", async (t) => {
    const { store } = await reopenAfter(t, () => undefined);
    assert.equal(store.sizes.get(DIGEST), 12_345);
    assert.equal(store.sizes.get("cd".repeat(32)), undefined);
  });

  it("shows a size to another store once it is written", async (t) => {
    const { store, path } = await reopenAfter(t, () => undefined);
    const other = await openTestStore(t, path);
    store.sizes.set("ef".repeat(32), 7);
    assert.equal(store.sizes.get("ef".repeat(32)), 7);
    await store.close();
    assert.equal(other.sizes.get("ef".repeat(32)), 7);
  });

  it("forgets a size rather than give one that was changed on the disk", async (t) => {
    const { store } = await reopenAfter(t, (index) => {
      change(index, "UPDATE list_size SET size_bytes = size_bytes + 4096");
    });
    assert.equal(store.sizes.get(DIGEST), undefined);
  });

  it("is made for its user alone", async (t) => {
    const { path } = await reopenAfter(t, () => undefined);
    assert.equal((await stat(join(path, "index.db"))).mode & 0o777, 0o600);
  });

  it("is made anew when it is missing", async (t) => {
    const { store, path } = await reopenAfter(t, (index) => rm(index));
    await assertReadable(store, cached);
    assert.equal(store.sizes.get(DIGEST), undefined);
    await rebuilt(path);
  });

  const spoilers: Readonly<Record<string, (index: string) => Promise<void> | void>> = {
    "is not a database": (index) => writeFile(index, "this is no database at all\n".repeat(500)),
    "is cut short": (index) => writeFile(index, "SQLite format 3\0"),
    "is a folder": async (index) => {
      await rm(index);
      await mkdir(join(index, "with a folder in it"), { recursive: true });
    },
    "has a newer schema": (index) => {
      change(index, "PRAGMA user_version = 99");
    },
    "has an older schema": (index) => {
      change(index, "PRAGMA user_version = 0");
    },
    "lacks a table": (index) => {
      change(index, "DROP TABLE cached");
    },
  };
  for (const [how, spoil] of Object.entries(spoilers)) {
    it(`is set aside and made anew when it ${how}`, async (t) => {
      const { store, path, lines } = await reopenAfter(t, spoil);
      await assertReadable(store, cached);
      await store.blocks.cache(makeBlock(50, 4096));
      assert.ok(lines.some((line) => line.includes("the index was set aside to")));
      const [aside] = await readdir(join(path, "quarantine"));
      assert.match(aside ?? "", /^index\.db\./);
      await until("the index knows all five", () => indexedCount(path) === 5);
    });
  }

  it("is set aside when damage shows at a later statement", async (t) => {
    const { store, path, lines } = await reopenAfter(t, async (index) => {
      const { size } = await stat(index);
      // The header stays, so that it opens; the pages of the tables do not.
      const damage = Buffer.alloc(size - 8192, 0xa5);
      const handle = await open(index, "r+");
      await handle.write(damage, 0, damage.length, 8192);
      await handle.close();
    });
    await assertReadable(store, cached);
    await store.blocks.cache(makeBlock(51, 4096));
    assert.ok(lines.some((line) => line.includes("the index was set aside to")));
    await until("the index knows all five", () => indexedCount(path) === 5);
  });

  it("is made anew when it is deleted under a running store", async (t) => {
    const { store, path } = await reopenAfter(t, () => undefined);
    for (const suffix of ["", "-wal", "-shm"]) await rm(join(path, `index.db${suffix}`));
    await store.blocks.cache(makeBlock(52, 4096));
    await assertReadable(store, cached);
    await until("the index knows all five", () => indexedCount(path) === 5);
  });

  it("evicts what a scan found by its time, before anything used since", async (t) => {
    const { store, path } = await reopenAfter(t, (index) => rm(index));
    await rebuilt(path);
    await store.close();
    const small = await openTestStore(t, path, { cacheQuotaBytes: 5 * 4096 });
    await small.blocks.cache(makeBlock(60, 4096));
    // Full: the target of 0.9 × 5 blocks leaves four, the new one included.
    await small.blocks.cache(makeBlock(61, 4096));
    const places = await Promise.all(cached.map(({ hash }) => small.blocks.find(hash)));
    assert.deepEqual(
      places.map((place) => place !== undefined),
      [true, true, false, false],
    );
  });

  it("is set aside once by two stores that find it damaged, and then shared", async (t) => {
    const path = join(await tempFolder(t), "store");
    await (await openTestStore(t, path)).close();
    await writeFile(join(path, "index.db"), "no database");
    const [one, other] = await Promise.all([openTestStore(t, path), openTestStore(t, path)]);
    one.sizes.set(DIGEST, 99);
    await one.close();
    assert.equal(other.sizes.get(DIGEST), 99);
    assert.equal((await readdir(join(path, "quarantine"))).length, 1);
  });

  it("does not stop reads or writes while another process holds it", async (t) => {
    const { store, path } = await reopenAfter(t, () => undefined);
    const holder = new Database(join(path, "index.db"));
    holder.exec("BEGIN IMMEDIATE");
    const block = makeBlock(70);
    const caching = store.blocks.cache(block);
    await assertReadable(store, cached);
    holder.exec("COMMIT");
    holder.close();
    await caching;
    await assertReadable(store, [block]);
  });

  it("STORE-3: evicts by use, not by age", async (t) => {
    const path = join(await tempFolder(t), "store");
    const store = await openTestStore(t, path, { cacheQuotaBytes: 4 * 4096 });
    for (const block of cached) await store.blocks.cache(block);
    await assertReadable(store, cached.slice(0, 1));
    await store.blocks.cache(makeBlock(80, 4096));
    const places = await Promise.all(cached.map(({ hash }) => store.blocks.find(hash)));
    assert.deepEqual(
      places.map((place) => place !== undefined),
      [true, false, false, true],
    );
  });
});

function change(index: string, sql: string): void {
  const db = new Database(index);
  db.exec(sql);
  db.close();
}

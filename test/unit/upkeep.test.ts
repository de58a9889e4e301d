/** What a check of the store stands on: names in order, files judged, the index made right. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import Database from "better-sqlite3";
import { blocksInOrder } from "../../src/store/blocksInOrder.js";
import {
  createLineLog,
  diskUsage,
  flipBit,
  makeBlock,
  openTestStore,
} from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const { signal } = new AbortController();

describe("blocksInOrder", () => {
  it("yields all names after a given one in order, in slices", async (t) => {
    const folder = await tempFolder(t);
    const names = Array.from({ length: 50 }, (_, i) =>
      createHash("sha256").update(`${i}`).digest("hex"),
    ).sort();
    for (const name of [...names, "index.html", names[0]?.toUpperCase() ?? ""]) {
      await writeFile(join(folder, name), "");
    }
    for (const sliceCount of [1, 7, 25, 50, 1000]) {
      for (const after of ["", names[0] ?? "", names[24] ?? "", names[49] ?? ""]) {
        const seen: string[] = [];
        for await (const slice of blocksInOrder(folder, { after, sliceCount })) {
          assert.ok(slice.length <= sliceCount);
          seen.push(...slice);
        }
        assert.deepEqual(
          seen,
          names.filter((name) => name > after),
        );
      }
    }
  });

  it("of a folder that is not there yields nothing", async (t) => {
    const folder = join(await tempFolder(t), "missing");
    for await (const slice of blocksInOrder(folder, { after: "", sliceCount: 1 })) {
      assert.fail(`${slice.length}`);
    }
  });
});

describe("the index of a store", () => {
  it("FSCK-2: has a row for each file and the right sum when it was rebuilt, and the order of use stays", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    const blocks = [1, 2, 3, 4].map((number) => makeBlock(number, 10_000));
    const [gone, grown, unknown, good] = blocks.map(({ hash }) => hash);
    assert.ok(gone !== undefined && grown !== undefined && unknown !== undefined);
    for (const block of blocks) await store.blocks.cache(block);
    await store.close();
    const db = new Database(join(path, "index.db"));
    db.prepare("DELETE FROM cached WHERE hash = ?").run(unknown);
    db.prepare("UPDATE total SET cached_bytes = 5").run();
    const before = db.prepare("SELECT hash FROM cached ORDER BY use").pluck().all();
    db.close();
    await rm(join(path, "cache", gone));
    await writeFile(join(path, "cache", grown), Buffer.alloc(20_000));
    const again = await openTestStore(t, path);
    assert.deepEqual(await again.upkeep.rebuildIndex(signal), {
      removedCount: 1,
      resizedCount: 1,
      sumWasWrong: true,
    });
    await again.close();
    const rebuilt = new Database(join(path, "index.db"));
    const rows = rebuilt.prepare("SELECT hash FROM cached ORDER BY use").pluck().all();
    assert.deepEqual(rows, [unknown, ...before.filter((hash) => hash !== gone)]);
    assert.equal(rows.at(-1), good);
    assert.equal(
      rebuilt.prepare("SELECT cached_bytes FROM total").pluck().get(),
      await diskUsage(join(path, "cache")),
    );
    rebuilt.close();
  });

  it("is rebuilt while another store caches and evicts, and counts what lies there", async (t) => {
    const path = await tempFolder(t);
    const cacheQuotaBytes = 40 * 4096;
    const store = await openTestStore(t, path, { cacheQuotaBytes });
    const other = await openTestStore(t, path, { cacheQuotaBytes });
    const writing = (async () => {
      for (let number = 0; number < 300; number += 1) {
        await other.blocks.cache(makeBlock(number, 4096));
      }
    })();
    const state = { isOver: false };
    void writing.finally(() => {
      state.isOver = true;
    });
    while (!state.isOver) assert.ok(await store.upkeep.rebuildIndex(signal));
    await writing;
    await other.close();
    await store.upkeep.rebuildIndex(signal);
    await store.close();
    const db = new Database(join(path, "index.db"));
    const rows = db.prepare("SELECT hash FROM cached ORDER BY hash").pluck().all();
    assert.deepEqual(rows, (await readdir(join(path, "cache"))).sort());
    db.close();
    assert.ok((await diskUsage(join(path, "cache"))) <= cacheQuotaBytes);
  });
});

describe("a block that is judged", () => {
  it("is absent, good or bad, whatever stands in its place", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path, { log: createLineLog() });
    const block = makeBlock(1);
    const file = join(path, "blocks", block.hash);
    const judge = () => store.upkeep.judge("kept", block.hash);
    assert.deepEqual(await judge(), { kind: "absent" });
    await store.blocks.keep([block]);
    const good = await judge();
    assert.ok(good.kind === "good");
    assert.deepEqual(Buffer.from(good.block.bytes), Buffer.from(block.bytes));
    await flipBit(file);
    const bad = await judge();
    assert.ok(bad.kind === "bad");
    assert.match(bad.why, /hash to [0-9a-f]{64}/);
    // Replaced meanwhile: what was seen is not there any more, and what is there stays.
    await rm(file);
    await store.blocks.keep([block]);
    const moved = await store.upkeep.setAside("kept", block.hash, { why: "test", inode: 1n });
    assert.equal(moved, "gone");
    assert.equal((await judge()).kind, "good");
  });
});

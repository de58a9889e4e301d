/** Records of servers in the index: they survive, are merged, and can be lost or damaged without harm. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import Database from "better-sqlite3";
import type { ServerRecord } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError } from "../../src/core/errors.js";
import { LIMITS } from "../../src/core/limits.js";
import { openStore, type Store } from "../../src/store/openStore.js";
import { serverRecord } from "../support/serverRecords.js";
import { createLineLog, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const A = "http://a.example:8000";
const B = "https://b.example/blocks";
const MINUTE_MS = 60_000;

function save(store: Store, records: Readonly<Record<string, ServerRecord>>): void {
  store.servers.save(new Map(Object.entries(records)));
}

function known(store: Store): Record<string, ServerRecord> {
  return Object.fromEntries(store.servers.load());
}

/** Writes records with a store of their own, which is closed again. */
async function seed(path: string, records: Readonly<Record<string, ServerRecord>>): Promise<void> {
  const store = await openStore({ path, clock: systemClock, log: createLineLog() });
  save(store, records);
  await store.close();
}

function change(path: string, sql: string, ...values: readonly (string | number)[]): void {
  const db = new Database(join(path, "index.db"));
  try {
    db.prepare(sql).run(...values);
  } finally {
    db.close();
  }
}

describe("SERVERS-1: records of servers", () => {
  it("survive a restart, whole", async (t) => {
    const path = await tempFolder(t);
    const records = {
      [A]: serverRecord({ banMs: 10 * MINUTE_MS, banEndUnixMs: Date.now() + MINUTE_MS }),
      [B]: serverRecord({ firstByteMs: undefined, bytesPerSecond: undefined }),
    };
    const first = await openTestStore(t, path);
    assert.deepEqual(known(first), {});
    save(first, records);
    assert.deepEqual(known(first), records);
    await first.close();
    assert.deepEqual(known(await openTestStore(t, path)), records);
  });

  it("are written soon, and then seen by another process", async (t) => {
    const path = await tempFolder(t);
    const [one, other] = [await openTestStore(t, path), await openTestStore(t, path)];
    const record = serverRecord();
    save(one, { [A]: record });
    await until("the other one knows it", () => other.servers.load().size === 1);
    assert.deepEqual(known(other), { [A]: record });
  });

  it("are believed as they were written last, by whichever process", async (t) => {
    const path = await tempFolder(t);
    const [one, other] = [await openTestStore(t, path), await openTestStore(t, path)];
    const [older, newer] = [Date.now() - MINUTE_MS, Date.now()];
    save(one, { [A]: serverRecord({ askedUnixMs: older, blockCount: 1 }), [B]: serverRecord() });
    save(other, { [A]: serverRecord({ askedUnixMs: newer, blockCount: 2 }) });
    await other.close();
    // Written later, and older: what the other one learned stays.
    await one.close();
    const third = await openTestStore(t, path);
    assert.deepEqual([known(third)[A]?.blockCount, known(third)[A]?.askedUnixMs], [2, newer]);
    assert.ok(known(third)[B]);
    // Of the same time, the last to write is believed.
    save(third, { [A]: serverRecord({ askedUnixMs: newer, blockCount: 3 }) });
    await third.close();
    assert.equal(known(await openTestStore(t, path))[A]?.blockCount, 3);
  });

  for (const [which, askedMs] of [
    ["a later", 0],
    ["an earlier", -2 * MINUTE_MS],
  ] as const) {
    it(`keep a ban that another process set, when ${which} record has none`, async (t) => {
      const path = await tempFolder(t);
      const nowMs = Date.now();
      const ban = { banMs: 20 * MINUTE_MS, banEndUnixMs: nowMs + 19 * MINUTE_MS, lieCount: 2 };
      await seed(path, { [A]: serverRecord({ ...ban, askedUnixMs: nowMs - MINUTE_MS }) });
      await seed(path, {
        [A]: serverRecord({
          banMs: 10 * MINUTE_MS,
          banEndUnixMs: nowMs,
          askedUnixMs: nowMs + askedMs,
        }),
      });
      const record = known(await openTestStore(t, path))[A];
      assert.equal(record?.banMs, ban.banMs);
      assert.equal(record.banEndUnixMs, ban.banEndUnixMs);
    });
  }

  it("are left out, and written anew, where a bit of them changed on the disk", async (t) => {
    const path = await tempFolder(t);
    const damages = [
      `UPDATE server SET record = replace(record, '"lieCount":0', '"lieCount":1')`,
      "UPDATE server SET record = ''",
      "UPDATE server SET sum = 'x'",
      "UPDATE server SET address = 'http://other.example'",
    ];
    for (const sql of damages) {
      await seed(path, { [A]: serverRecord() });
      change(path, `${sql} WHERE address = ?`, A);
      await seed(path, { [B]: serverRecord() });
      const store = await openTestStore(t, path);
      assert.deepEqual(Object.keys(known(store)), [B], sql);
      save(store, { [A]: serverRecord({ blockCount: 7 }) });
      await store.close();
      assert.equal(known(await openTestStore(t, path))[A]?.blockCount, 7, sql);
    }
  });

  it("are left out where they make no sense, whoever wrote them", async (t) => {
    const path = await tempFolder(t);
    const nowMs = Date.now();
    const senseless: readonly Partial<ServerRecord>[] = [
      { firstByteMs: -1 },
      { bytesPerSecond: Number.POSITIVE_INFINITY },
      { requestLimit: Number.NaN },
      { failedFraction: 1.5 },
      { notFoundFraction: -0.1 },
      { blockCount: 1e300 },
      { banMs: 2 * LIMITS.fetch.maxBanMs },
      // Of a clock that was ahead: such a ban would hold for years, and no record count as later.
      { banEndUnixMs: nowMs + 3 * LIMITS.fetch.maxBanMs },
      { askedUnixMs: nowMs + 24 * 60 * MINUTE_MS },
    ];
    const texts = senseless.map((parts) => JSON.stringify(serverRecord(parts)));
    texts.push("null", "[]", "{}", '"record"', "no JSON", JSON.stringify({ askedUnixMs: "1" }));
    await seed(path, {
      [A]: serverRecord(),
      ...Object.fromEntries(senseless.map((parts, i) => [`http://${i}`, serverRecord(parts)])),
    });
    texts.forEach((text, i) => {
      const address = `http://written-${i}`;
      const sum = createHash("sha256").update(`${address} ${text}`).digest("hex").slice(0, 16);
      change(path, "INSERT INTO server VALUES (?, ?, ?)", address, text, sum);
    });
    const store = await openTestStore(t, path);
    assert.deepEqual(Object.keys(known(store)), [A]);
    // A later, sensible one takes the place of one that was not.
    save(store, { "http://written-8": serverRecord() });
    await store.close();
    assert.equal(known(await openTestStore(t, path))["http://written-8"]?.blockCount, 1_234);
  });

  it("hold no credentials, whoever hands them over", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    const userinfo = "name:secret";
    save(store, { [`http://${userinfo}@a.example`]: serverRecord(), [A]: serverRecord() });
    save(store, { "": serverRecord(), ["x".repeat(10_000)]: serverRecord() });
    await store.close();
    const db = new Database(join(path, "index.db"), { readonly: true });
    const rows = db.prepare<[], { address: string }>("SELECT address FROM server").all();
    db.close();
    assert.deepEqual(rows, [{ address: A }]);
  });

  it("are bounded: the least recently asked go first, and what cannot be read before them", async (t) => {
    const path = await tempFolder(t);
    await seed(path, { [B]: serverRecord() });
    change(path, "UPDATE server SET sum = ''");
    const max = LIMITS.store.maxServers;
    const startMs = Date.now() - 10 * max;
    const records = (count: number, first: number): Record<string, ServerRecord> =>
      Object.fromEntries(
        Array.from({ length: count }, (_, i) => [
          `http://s${first + i}`,
          serverRecord({ askedUnixMs: startMs + first + i }),
        ]),
      );
    await seed(path, records(max, 0));
    await seed(path, records(10, max));
    const store = await openTestStore(t, path);
    const names = Object.keys(known(store));
    assert.equal(names.length, max);
    assert.ok(!names.includes("http://s9"));
    assert.ok(names.includes("http://s10") && names.includes(`http://s${max + 9}`));
    // What waits is bounded too.
    save(store, records(max + 10, max));
    assert.ok(store.servers.load().size <= 2 * max);
  });

  it("are gone with an index that is deleted or set aside, and nothing else is", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    await store.blocks.keep([makeBlock(1)]);
    const spoilers: readonly (() => Promise<void> | void)[] = [
      () => rm(join(path, "index.db")),
      () => writeFile(join(path, "index.db"), "no database"),
      () => {
        // As the version before had it.
        change(path, "DROP TABLE server");
        const db = new Database(join(path, "index.db"));
        db.pragma("user_version = 1");
        db.close();
      },
      async () => {
        await rm(join(path, "index.db"));
        await mkdir(join(path, "index.db", "folder"), { recursive: true });
      },
    ];
    await store.close();
    for (const spoil of spoilers) {
      await seed(path, { [A]: serverRecord() });
      await spoil();
      const reopened = await openTestStore(t, path);
      assert.deepEqual(known(reopened), {});
      assert.ok(await reopened.blocks.read(makeBlock(1).hash));
      save(reopened, { [B]: serverRecord() });
      await reopened.close();
      const again = await openTestStore(t, path);
      assert.deepEqual(Object.keys(known(again)), [B]);
      await again.close();
    }
  });

  it("are written to the new index when the old one is deleted under a running store", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    save(store, { [A]: serverRecord() });
    for (const suffix of ["", "-wal", "-shm"]) {
      await rm(join(path, `index.db${suffix}`), { force: true });
    }
    await store.close();
    assert.deepEqual(Object.keys(known(await openTestStore(t, path))), [A]);
  });

  it("cost nobody an error while the index cannot be used", async (t) => {
    const path = await tempFolder(t);
    await seed(path, { [A]: serverRecord() });
    const store = await openTestStore(t, path);
    change(path, "DROP TABLE server");
    assert.deepEqual(known(store), {});
    const record = serverRecord();
    save(store, { [B]: record });
    assert.deepEqual(known(store), { [B]: record });
    await store.close();
    assert.deepEqual(known(await openTestStore(t, path)), { [B]: record });
  });

  it("are forgotten when that is asked for, also those that wait to be written", async (t) => {
    const path = await tempFolder(t);
    await seed(path, { [A]: serverRecord(), [B]: serverRecord() });
    const store = await openTestStore(t, path);
    save(store, { [A]: serverRecord() });
    assert.deepEqual(await store.servers.forget([A, "http://never-seen"]), [A]);
    assert.deepEqual(Object.keys(known(store)), [B]);
    await store.close();
    const again = await openTestStore(t, path);
    assert.deepEqual(Object.keys(known(again)), [B]);
    save(again, { [A]: serverRecord() });
    await again.close();
    assert.deepEqual(Object.keys(known(await openTestStore(t, path))).sort(), [A, B]);
  });

  it("are neither read nor written by a store that is open for reading only", async (t) => {
    const path = await tempFolder(t);
    await seed(path, { [A]: serverRecord() });
    const reader = await openTestStore(t, path, { readOnly: true });
    assert.deepEqual(known(reader), {});
    save(reader, { [B]: serverRecord() });
    await assert.rejects(reader.servers.forget([A]), (error) =>
      isPsyncError(error, "ERR_PSYNC_STORE"),
    );
    await reader.close();
    assert.deepEqual(Object.keys(known(await openTestStore(t, path))), [A]);
  });
});

/** A disk that is full, has no inodes or turns read-only: what is there is read on, and all is well again by itself. */
import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import Database from "better-sqlite3";
import { isPsyncError } from "../../src/core/errors.js";
import { openToRead } from "../../src/store/openToRead.js";
import { systemClock } from "../../src/core/clock.js";
import type { Store } from "../../src/store/openStore.js";
import { storeError } from "../../src/store/storeError.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk } from "../support/cli.js";
import { createManualClock } from "../support/manualClock.js";
import { mountSmallDisk, noSmallDisk } from "../support/smallDisk.js";
import { createLineLog, diskUsage, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { until } from "../support/until.js";

const BLOCK_BYTES = 262_144;
const block = (number: number): VerifiedBlock => makeBlock(number, BLOCK_BYTES);
const fails = (work: Promise<unknown>, message: RegExp): Promise<void> =>
  assert.rejects(work, (error) => {
    assert.ok(isPsyncError(error, "ERR_PSYNC_STORE") && error.hint !== undefined);
    assert.match(error.message, message);
    return true;
  });

async function assertReadable(store: Store, blocks: readonly VerifiedBlock[]): Promise<void> {
  for (const { hash } of blocks) assert.ok(await store.blocks.read(hash));
}

describe("a full disk", { skip: noSmallDisk }, () => {
  it("DISK-2: fails a keep with what is free, leaves what was finished, and no temp files", async (t) => {
    const disk = await mountSmallDisk(t);
    const store = await openTestStore(t, disk.store);
    const blocks = Array.from({ length: 40 }, (_, i) => block(i));
    await store.blocks.keep(blocks.slice(0, 3));
    await fails(
      store.blocks.keep(blocks.slice(3)),
      /^cannot write .*tmp.*: no space is left on the disk \(ENOSPC\): [\d.]+(KiB|B) of 8MiB are free$/,
    );
    assert.deepEqual(await readdir(join(disk.store, "tmp")), []);
    await assertReadable(store, blocks.slice(0, 3));
    for await (const hash of store.list("kept")) assert.ok(await store.blocks.read(hash));
  });

  it("DISK-2: is named where the store's folders cannot be made", async (t) => {
    const disk = await mountSmallDisk(t, "size=8m,nr_inodes=60");
    await disk.useInodes();
    for (const path of [disk.store, join(disk.store, "further", "below")]) {
      await fails(openTestStore(t, path), /^cannot make the store .*\(ENOSPC\)/);
    }
    await disk.free();
    await openTestStore(t, join(disk.store, "further", "below"));
  });

  it("DISK-2: ends export with status 7, and what helps", async (t) => {
    const disk = await mountSmallDisk(t);
    const input = Buffer.concat(Array.from({ length: 40 }, (_, i) => block(i).bytes));
    const args = ["export", "--block-size", `${BLOCK_BYTES}`];
    const { status, stdout, stderr } = await psync(args, { store: disk.store, input });
    assert.equal(status, 7, stderr);
    assert.match(
      stderr,
      /^hint: free space .*psync gc.*--store.*--no-copy; what was finished is kept$/m,
    );
    assert.doesNotMatch(stderr, /cacheSize/);
    for (const hash of stdout.toString().split("\n").filter(Boolean)) {
      await psyncOk(["cat", hash], { store: disk.store });
    }
  });

  it("DISK-2: is what an I/O error of SQLite means there", async (t) => {
    const disk = await mountSmallDisk(t);
    const code = "SQLITE_IOERR_SHMSIZE";
    const error = Object.assign(new Error("disk I/O error"), { code });
    const told = (): string => storeError("lock", disk.store, error).message;
    assert.match(told(), /: disk I\/O error$/);
    await disk.fill();
    assert.match(told(), /: no space is left on the disk \(SQLITE_IOERR_SHMSIZE\)$/);
  });

  it("DISK-2: without inodes fails a keep, and says that it is those", async (t) => {
    const disk = await mountSmallDisk(t, "size=8m,nr_inodes=60");
    const store = await openTestStore(t, disk.store);
    await store.blocks.keep([block(1)]);
    await disk.useInodes();
    await fails(
      store.blocks.keep([block(2)]),
      /no more files fit on the disk \(ENOSPC\): all of its 60 inodes are in use$/,
    );
    await assertReadable(store, [block(1)]);
    await fails(store.blocks.cache(block(3)), /inodes/);
    await disk.free();
    await store.blocks.keep([block(2)]);
    await store.blocks.cache(block(3));
    await assertReadable(store, [block(1), block(2), block(3)]);
  });

  it("DISK-1: that others have filled is no place for the cache, until there is room again", async (t) => {
    const disk = await mountSmallDisk(t);
    const store = await openTestStore(t, disk.store);
    await store.blocks.keep([block(1)]);
    await disk.fill();
    await fails(
      store.blocks.cache(block(2)),
      /^there is no room in .*cache: only 0B of 8MiB are free, and the cache leaves 5 % free$/,
    );
    await assertReadable(store, [block(1)]);
    await disk.free();
    await store.blocks.cache(block(2));
    await assertReadable(store, [block(1), block(2)]);
  });

  it("DISK-1: that is full to the last byte is left by cached blocks, though the index cannot be written", async (t) => {
    const disk = await mountSmallDisk(t);
    const store = await openTestStore(t, disk.store);
    const cached = Array.from({ length: 12 }, (_, i) => block(i));
    for (const each of cached) await store.blocks.cache(each);
    // So that uses wait to be written, which the disk has no room for.
    await assertReadable(store, cached);
    await disk.fill();
    await store.blocks.cache(block(50)).catch(() => undefined);
    await store.blocks.cache(block(51)).catch(() => undefined);
    const leftBytes = await diskUsage(join(disk.store, "cache"));
    assert.ok(leftBytes < 12 * BLOCK_BYTES, `${leftBytes} bytes are cached`);
    await disk.free();
    await store.blocks.cache(block(52));
    await assertReadable(store, [block(52)]);
  });

  it("DISK-1: on which the store could not be opened for writing is tried again", async (t) => {
    const disk = await mountSmallDisk(t, "size=8m,nr_inodes=60");
    const first = await openTestStore(t, disk.store);
    await first.blocks.keep([block(1)]);
    await first.close();
    await disk.useInodes();
    const clock = createManualClock();
    const log = createLineLog();
    const store = await openToRead({ path: disk.store, clock, log, wish: "cache" });
    cleanUp(t, () => store.close());
    await assertReadable(store, [block(1)]);
    await store.blocks.cache(block(2));
    clock.advance(10_000);
    await store.blocks.cache(block(3));
    await disk.free();
    await store.blocks.cache(block(4));
    assert.equal(await store.blocks.find(block(4).hash), undefined, "it is not yet time");
    clock.advance(10_000);
    await Promise.all([5, 6, 7].map((number) => store.blocks.cache(block(number))));
    await assertReadable(store, [1, 5, 6, 7].map(block));
    store.sizes.set("ab".repeat(32), 5);
    await store.close();
    assert.equal((await openTestStore(t, disk.store)).sizes.get("ab".repeat(32)), 5);
    const said = log.lines.filter((line) => !line.startsWith("debug"));
    assert.equal(said.length, 2, log.lines.join("\n"));
    assert.match(
      said[0] ?? "",
      /^warn nothing is cached in .*: all of its 60 inodes are in use \(/,
    );
    assert.match(said[1] ?? "", /^info blocks are cached in .* again; 3 blocks were not cached$/);
  });

  it("DISK-1: that turns read-only in the middle fails writes and no reads, until it can be written", async (t) => {
    const disk = await mountSmallDisk(t);
    const store = await openTestStore(t, disk.store);
    await store.blocks.keep([block(1)]);
    await store.blocks.cache(block(2));
    await store.close();
    const log = createLineLog();
    const again = await openTestStore(t, disk.store, { log, clock: systemClock });
    await again.blocks.read(block(2).hash);
    // What is open for writing would keep the disk from turning read-only, as the index does.
    await again.close();
    await disk.remount("ro");
    const reader = await openToRead({ path: disk.store, clock: systemClock, log, wish: "cache" });
    cleanUp(t, () => reader.close());
    await assertReadable(reader, [block(1), block(2)]);
    await fails(reader.blocks.keep([block(3)]), /is open for reading only/);
    await disk.remount("rw");
    await openTestStore(t, disk.store).then((store2) => store2.blocks.keep([block(3)]));
    await assertReadable(reader, [block(3)]);
  });

  it("STORE-2: an index that is damaged there is set aside, rebuilt when there is room, and no read fails", async (t) => {
    const disk = await mountSmallDisk(t);
    const first = await openTestStore(t, disk.store);
    const cached = [1, 2, 3].map(block);
    for (const each of cached) await first.blocks.cache(each);
    await first.blocks.keep([block(9)]);
    await first.close();
    await writeFile(join(disk.store, "index.db"), "no database");
    await disk.fill();
    const clock = createManualClock();
    const log = createLineLog();
    const store = await openTestStore(t, disk.store, { clock, log });
    await assertReadable(store, [...cached, block(9)]);
    assert.ok(log.lines.some((line) => line.includes("the index was set aside to")));
    assert.ok(
      log.lines.some((line) => /cannot .* the index .*full/.test(line)),
      log.lines.join("\n"),
    );
    const warningCount = log.lines.filter((line) => line.startsWith("warn")).length;
    for (let second = 0; second < 30; second += 1) {
      await assertReadable(store, cached);
      clock.advance(1000);
    }
    const moreCount = log.lines.filter((line) => line.startsWith("warn")).length - warningCount;
    assert.ok(moreCount <= 2, log.lines.join("\n"));
    await disk.free();
    clock.advance(10_000);
    await store.blocks.cache(block(4));
    await until("the index knows what is cached", () => {
      clock.advance(1000);
      return indexedCount(disk.store) === 4;
    });
  });
});

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

/** Kept blocks are taken away only where nobody has claimed them. Two stores over one folder are like two processes. */
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { isPsyncError } from "../../src/core/errors.js";
import { openFileLock } from "../../src/store/fileLock.js";
import type { Store } from "../../src/store/openStore.js";
import { createDice } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { SEED } from "../support/seed.js";
import { diskUsage, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const WORKER = fileURLToPath(new URL("../support/storeWorker.js", import.meta.url));
const { signal } = new AbortController();
const blocks = (first: number, count: number): VerifiedBlock[] =>
  Array.from({ length: count }, (_, i) => makeBlock(first + i, 16_384));
const names = (some: readonly VerifiedBlock[]) => some.map(({ hash }) => hash);

/** Takes blocks away in a sweep of its own. @returns how many were taken */
async function sweepAway(store: Store, some: readonly VerifiedBlock[], to?: "cache") {
  const sweep = await store.startSweep();
  try {
    return await sweep.take(names(some), to ?? "nowhere", { signal });
  } finally {
    sweep.close();
  }
}

async function claimFiles(path: string): Promise<string[]> {
  return (await readdir(join(path, "claims"))).filter((name) => /^\d/.test(name)).sort();
}

/** A store that holds blocks kept by a process that has ended. */
async function fixture(t: TestContext, count = 10) {
  const path = await tempFolder(t);
  const all = blocks(0, count);
  const before = await openTestStore(t, path);
  await before.blocks.keep(all);
  await before.close();
  return { path, all, store: await openTestStore(t, path) };
}

describe("a sweep", () => {
  it("GC-1: takes blocks that are kept, and passes over what is not a kept block", async (t) => {
    const { path, all, store } = await fixture(t);
    await store.blocks.cache(makeBlock(50));
    const folder = makeBlock(51);
    await mkdir(join(path, "blocks", folder.hash));
    const { takenCount, takenBytes } = await sweepAway(store, [
      ...all.slice(0, 4),
      makeBlock(50),
      folder,
      makeBlock(52),
    ]);
    assert.deepEqual({ takenCount, takenBytes }, { takenCount: 4, takenBytes: 4 * 16_384 });
    assert.equal((await readdir(join(path, "blocks"))).length, 7);
    assert.ok(await store.blocks.read(makeBlock(50).hash));
    assert.equal(await store.blocks.find(all[0]?.hash ?? folder.hash), undefined);
  });

  it("GC-2: leaves what another process has kept, synced, pinned or claimed, for as long as that one runs", async (t) => {
    const { path, all, store } = await fixture(t);
    const writer = await openTestStore(t, path);
    const [kept, synced, claimed, ...rest] = all as [VerifiedBlock, VerifiedBlock, VerifiedBlock];
    const [written, pinned] = [makeBlock(60), makeBlock(61)];
    await writer.blocks.cache(pinned);
    // Kept already, and promised once more without being written.
    await writer.blocks.keep([kept, written]);
    await writer.blocks.sync([synced.hash]);
    await writer.blocks.claim([claimed.hash]);
    await writer.blocks.pin(pinned.hash);
    const claims = [kept, synced, claimed, written, pinned];
    const totals = await sweepAway(store, [...claims, ...rest]);
    assert.deepEqual(
      { taken: totals.takenCount, claimed: totals.claimedCount },
      { taken: rest.length, claimed: claims.length },
    );
    for (const { hash } of claims) assert.equal((await store.blocks.find(hash))?.place, "kept");
    await writer.close();
    assert.deepEqual(await claimFiles(path), []);
    assert.equal((await sweepAway(store, claims)).takenCount, claims.length);
  });

  it("GC-2: leaves what a process claims that begins and ends while the sweep runs", async (t) => {
    const { path, all, store } = await fixture(t);
    const sweep = await store.startSweep();
    const writer = await openTestStore(t, path);
    await writer.blocks.keep(all.slice(0, 3));
    await writer.close();
    const later = await openTestStore(t, path);
    await later.blocks.sync(names(all.slice(3, 4)));
    await later.close();
    const { takenCount, claimedCount } = await sweep.take(names(all), "nowhere", { signal });
    assert.deepEqual({ takenCount, claimedCount }, { takenCount: 6, claimedCount: 4 });
    sweep.close();
    // Their claims are of no use any more, and go with the next sweep.
    assert.equal((await sweepAway(store, all)).takenCount, 4);
    assert.deepEqual(await claimFiles(path), []);
  });

  it("GC-2: whoever keeps a block after it was taken writes it again", async (t) => {
    const { path, all, store } = await fixture(t);
    const writer = await openTestStore(t, path);
    const sweep = await store.startSweep();
    await sweep.take(names(all), "nowhere", { signal });
    await writer.blocks.keep(all);
    assert.equal((await sweep.take(names(all), "nowhere", { signal })).claimedCount, all.length);
    sweep.close();
    for (const { hash } of all) assert.ok(await store.blocks.read(hash));
  });

  it("claims of a process that was killed hold nothing", async (t) => {
    const { path, all, store } = await fixture(t);
    const child = spawn(process.execPath, [WORKER, "claim and wait", path, "0", "10"]);
    cleanUp(t, () => child.kill("SIGKILL"));
    await once(child.stdout, "data");
    assert.equal((await sweepAway(store, all)).claimedCount, all.length);
    child.kill("SIGKILL");
    await once(child, "exit");
    assert.equal((await claimFiles(path)).length, 2);
    assert.equal((await sweepAway(store, all)).takenCount, all.length);
    assert.deepEqual(await claimFiles(path), []);
  });

  it("GC-1: one that is killed leaves whole blocks, and the next one goes on at once", async (t) => {
    const { path, all, store } = await fixture(t, 1_000);
    const child = spawn(process.execPath, [WORKER, "sweep", path, "0", "1000"]);
    const exit = once(child, "exit");
    cleanUp(t, () => child.kill("SIGKILL"));
    const left = () => readdir(join(path, "blocks"));
    await until("some are gone", async () => (await left()).length < all.length);
    child.kill("SIGKILL");
    await exit;
    const { length: leftCount } = await left();
    for (const { hash } of all.slice(-20)) {
      if (await store.blocks.find(hash)) assert.ok(await store.blocks.read(hash));
    }
    assert.equal((await sweepAway(store, all)).takenCount, leftCount);
    assert.deepEqual(await left(), []);
  });

  it("a half-written claim is passed over, and whole ones after it count", async (t) => {
    const { path, all, store } = await fixture(t);
    const writer = await openTestStore(t, path);
    await writer.blocks.claim(names(all.slice(0, 1)));
    const file = (await claimFiles(path)).find((name) => name.endsWith(".claims")) ?? "";
    await writeFile(join(path, "claims", file), "half", { flag: "a" });
    await writer.blocks.claim(names(all.slice(1, 3)));
    assert.equal((await sweepAway(store, all)).claimedCount, 3);
  });

  it("one runs at a time, and the next one can when it has ended", async (t) => {
    const { path, store } = await fixture(t);
    const sweep = await store.startSweep();
    const other = await openTestStore(t, path);
    await assert.rejects(other.startSweep(), (error) => isPsyncError(error, "ERR_PSYNC_STORE"));
    sweep.close();
    (await other.startSweep()).close();
  });

  it("junk in a lock's file does no harm", async (t) => {
    const { path, all, store } = await fixture(t);
    for (const name of ["batch.lock", "sweep.lock"]) {
      await writeFile(join(path, "claims", name), "junk".repeat(2000));
    }
    const writer = await openTestStore(t, path);
    await writer.blocks.claim(names(all.slice(0, 1)));
    assert.equal((await sweepAway(store, all)).claimedCount, 1);
    const lock = openFileLock(join(path, "claims", "batch.lock"));
    assert.equal(lock.tryAcquire(), true);
    lock.close();
    assert.equal((await stat(lock.path)).size, 0);
  });

  it("PIN-2: hands blocks to the cache, which counts them in its quota, and drops what does not fit", async (t) => {
    const { path, all } = await fixture(t, 20);
    const store = await openTestStore(t, path, { cacheQuotaBytes: 8 * 16_384 });
    await store.blocks.cache(makeBlock(90, 16_384));
    const { takenCount, droppedCount } = await sweepAway(store, all, "cache");
    assert.deepEqual({ takenCount, droppedCount }, { takenCount: 20, droppedCount: 0 });
    assert.deepEqual(await readdir(join(path, "blocks")), []);
    const usedBytes = await diskUsage(join(path, "cache"));
    assert.ok(usedBytes > 0 && usedBytes <= 8 * 16_384, `${usedBytes} bytes`);
    const last = all.at(-1);
    assert.ok(last && (await store.blocks.find(last.hash))?.place === "cached");
    // The index has counted them: as much as before is evicted for the next ones.
    for (const block of blocks(100, 20)) await store.blocks.cache(block);
    assert.ok((await diskUsage(join(path, "cache"))) <= 8 * 16_384);
    await store.close();

    const none = await openTestStore(t, path, { cacheQuotaBytes: 0 });
    await none.blocks.keep(all);
    await none.close();
    const again = await openTestStore(t, path, { cacheQuotaBytes: 0 });
    assert.equal((await sweepAway(again, all, "cache")).droppedCount, 20);
    assert.deepEqual(await readdir(join(path, "blocks")), []);
  });

  it(`GC-2: beside stores that keep, sync and pin at random, none loses what it was told is kept (seed ${SEED})`, async (t) => {
    const path = await tempFolder(t);
    const dice = createDice(`sweep ${SEED}`);
    const pool = blocks(0, 24);
    const some = () => pool.filter(() => dice.roll(3) === 0);
    let isDone = false;
    let takenCount = 0;
    const sweeping = async (): Promise<void> => {
      const store = await openTestStore(t, path, { cacheQuotaBytes: 6 * 16_384 });
      while (!isDone) {
        const sweep = await store.startSweep();
        const to = dice.roll(2) === 0 ? "nowhere" : "cache";
        takenCount += (await sweep.take(names(some()), to, { signal })).takenCount;
        sweep.close();
      }
    };
    const writing = async (): Promise<void> => {
      for (let round = 0; round < 25; round += 1) {
        const store = await openTestStore(t, path);
        const promised = some();
        const [first, ...others] = promised;
        await store.blocks.claim(names(promised));
        if (first && !(await store.blocks.pin(first.hash))) await store.blocks.keep([first]);
        await store.blocks.keep(others);
        await store.blocks.sync(names(promised));
        for (const { hash } of promised) {
          assert.equal((await store.blocks.find(hash))?.place, "kept", `block ${hash}`);
          assert.ok(await store.blocks.read(hash), `bytes of ${hash}`);
        }
        await store.close();
      }
    };
    const sweeps = sweeping();
    await Promise.all([writing(), writing(), writing()]).finally(() => {
      isDone = true;
    });
    await sweeps;
    assert.ok(takenCount > 0, "nothing was ever taken");
  });
});

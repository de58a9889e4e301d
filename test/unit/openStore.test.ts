/** What can be a store, what cannot, and what a read-only disk does. */
import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { ERROR_TABLE, isPsyncError, type PsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { mountSmallDisk, noSmallDisk } from "../support/smallDisk.js";
import { isRoot, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const open = (path: string) => openStore({ path, clock: systemClock, log: silentLogger });

async function storeErrorOf(work: Promise<unknown>): Promise<PsyncError> {
  try {
    await work;
  } catch (error) {
    if (!isPsyncError(error, "ERR_PSYNC_STORE")) throw error;
    assert.ok(error.hint, `a hint: ${error.message}`);
    assert.equal(ERROR_TABLE[error.code].exitCode, 7);
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("openStore", () => {
  it("makes what is missing, and leaves the mode of what is there", async (t) => {
    const path = join(await tempFolder(t), "a", "store");
    await mkdir(join(path, "blocks"), { recursive: true, mode: 0o755 });
    await chmod(join(path, "blocks"), 0o755);
    await openTestStore(t, path);
    assert.equal((await stat(join(path, "blocks"))).mode & 0o777, 0o755);
    for (const name of ["cache", "tmp", "quarantine", "log"]) {
      assert.equal((await stat(join(path, name))).mode & 0o777, 0o700);
    }
  });

  it("refuses a path that is a file", async (t) => {
    const path = join(await tempFolder(t), "file");
    await writeFile(path, "");
    assert.match((await storeErrorOf(open(path))).message, /is not a folder/);
    assert.match((await storeErrorOf(open(join(path, "below")))).message, /not a folder/);
  });

  it("refuses a folder with other files, and puts nothing in it", async (t) => {
    const path = await tempFolder(t);
    await writeFile(join(path, "thesis.tex"), "");
    assert.match((await storeErrorOf(open(path))).message, /is not a store/);
    assert.deepEqual(await readdir(path), ["thesis.tex"]);
  });

  it("takes a store in whose folder lie many other files", async (t) => {
    const path = await tempFolder(t);
    const names = Array.from({ length: 300 }, (_, i) => join(path, `other ${i}`));
    for (const name of names.slice(0, 150)) await writeFile(name, "");
    await mkdir(join(path, "blocks"));
    for (const name of names.slice(150)) await writeFile(name, "");
    await openTestStore(t, path);
  });

  it("refuses a store in which a file stands in the place of a folder", async (t) => {
    const path = await tempFolder(t);
    await writeFile(join(path, "blocks"), "");
    assert.match((await storeErrorOf(open(path))).message, /blocks is not a folder/);
  });

  it("takes a folder that holds only a config, or the blocks of the original psync", async (t) => {
    const path = await tempFolder(t);
    await writeFile(join(path, "config.json"), "{}");
    await openTestStore(t, path);
  });

  it("opened for reading only has no blocks where nothing is, and makes nothing", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "none");
    const store = await openTestStore(t, path, { readOnly: true });
    assert.equal(await store.blocks.read(makeBlock(1).hash), undefined);
    await storeErrorOf(store.blocks.keep([makeBlock(1)]));
    assert.deepEqual(await readdir(folder), []);
    // What another process puts there later is seen.
    await (await openTestStore(t, path)).blocks.keep([makeBlock(1)]);
    assert.ok(await store.blocks.read(makeBlock(1).hash));
  });

  it("lists the blocks of a place, and nothing else that lies there", async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    await store.blocks.keep([makeBlock(1, 100), makeBlock(2, 200)]);
    await writeFile(join(path, "blocks", "index.html"), "of a web server");
    const names: string[] = [];
    for await (const hash of store.list("kept")) names.push(hash);
    assert.deepEqual(names.sort(), [makeBlock(1, 100).hash, makeBlock(2, 200).hash].sort());
  });

  it("refuses calls once it is closed", async (t) => {
    const store = await openTestStore(t, await tempFolder(t));
    await store.close();
    await assert.rejects(store.blocks.read(makeBlock(1).hash), (error) =>
      isPsyncError(error, "ERR_PSYNC_STORE"),
    );
  });

  it("refuses a folder it may not write in", async (t) => {
    const path = await tempFolder(t);
    if (!isRoot) {
      await chmod(path, 0o500);
      assert.match((await storeErrorOf(open(path))).message, /permission is denied/);
      return;
    }
    await chown(path, 65_534, 65_534);
    await chmod(path, 0o500);
    process.seteuid?.(65_534);
    try {
      assert.match((await storeErrorOf(open(path))).message, /permission is denied/);
    } finally {
      process.seteuid?.(0);
    }
  });

  it(
    "refuses a disk that is mounted read-only, and reads from it when told so",
    { skip: noSmallDisk },
    async (t) => {
      const disk = await mountSmallDisk(t);
      const path = disk.store;
      const store = await openTestStore(t, path);
      await store.blocks.keep([makeBlock(1)]);
      await store.close();
      await disk.remount("ro");
      assert.match((await storeErrorOf(open(path))).message, /read-only \(EROFS\)/);
      const reader = await openTestStore(t, path, { readOnly: true });
      assert.ok(await reader.blocks.read(makeBlock(1).hash));
    },
  );

  it(
    "gives up cached blocks for the disk's free space before the quota is reached",
    { skip: noSmallDisk },
    async (t) => {
      const disk = await mountSmallDisk(t);
      const path = disk.store;
      const store = await openTestStore(t, path);
      const blocks = Array.from({ length: 40 }, (_, i) => makeBlock(i, 262_144));
      for (const block of blocks) await store.blocks.cache(block);
      assert.ok(await store.blocks.read(makeBlock(39, 262_144).hash));
      assert.equal(await store.blocks.find(makeBlock(0, 262_144).hash), undefined);
    },
  );
});

/** What fsck and gc trust in a store: nothing that somebody else may have put there, and no single failure of a disk. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { LIMITS } from "../../src/core/limits.js";
import type { BlockHash } from "../../src/block/hash.js";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { fsck } from "../../src/store/fsck.js";
import { createFsckFile } from "../../src/store/fsckFile.js";
import { storeLayout } from "../../src/store/layout.js";
import { openStore } from "../../src/store/openStore.js";
import { PSYNC, psync, psyncOk } from "../support/cli.js";
import { flipBit, hasStrace, isRoot, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { straced } from "../support/straced.js";
import { tempFolder } from "../support/tempFolder.js";

/** A store of three kept blocks. */
async function fixture(t: TestContext) {
  const folder = await tempFolder(t);
  const path = join(folder, "store");
  const store = await openTestStore(t, path);
  const blocks = [1, 2, 3].map((number) => makeBlock(number));
  await store.blocks.keep(blocks);
  await store.close();
  const hashes = blocks.map(({ hash }) => hash);
  return { folder, path, hash: hashes[0] ?? ("" as BlockHash) };
}

/** A check that is interrupted after its first block. */
async function interruptedCheck(path: string): Promise<void> {
  const store = await openStore({ path, clock: systemClock, log: silentLogger, readOnly: true });
  const controller = new AbortController();
  const progressFile = createFsckFile(storeLayout(path), { nowUnixMs: Date.now });
  const parts = { store, source: undefined, clock: systemClock, progressFile, log: silentLogger };
  const options = { repair: false, jobs: 1, restart: false, signal: controller.signal };
  const checking = fsck(parts, {
    ...options,
    onProgress: () => {
      controller.abort(new Error("interrupted"));
    },
  });
  await assert.rejects(checking, /interrupted/);
  await store.close();
}

describe("fsck", () => {
  it("FSCK-2: keeps a block again whose file was set aside although its bytes are right", async (t) => {
    const { path, hash } = await fixture(t);
    await rename(join(path, "blocks", hash), join(path, "quarantine", `${hash}.kept.0123456789ab`));
    assert.equal((await psync(["fsck"], { store: path })).status, 5);
    assert.match(await psyncOk(["fsck", "--repair"], { store: path }), /^restored +1$/m);
    assert.equal((await lstat(join(path, "blocks", hash))).isFile(), true);
    await psyncOk(["fsck"], { store: path });
  });

  it(
    "FSCK-2: takes one failed read of a file for no loss",
    { skip: hasStrace ? false : "there is no strace" },
    async (t) => {
      const { folder, path, hash } = await fixture(t);
      const fault = ["-P", join(path, "blocks", hash), "-e", "inject=pread64:error=EIO:when=1"];
      // Faults are counted by thread.
      const command = [
        "env",
        "UV_THREADPOOL_SIZE=1",
        process.execPath,
        PSYNC,
        "--store",
        path,
        "fsck",
        "--repair",
      ];
      const { calls } = await straced(folder, ["pread64"], command, fault);
      assert.ok(calls.some(({ result }) => result.includes("INJECTED")));
      assert.deepEqual(await readdir(join(path, "quarantine")), []);
    },
  );

  it("FSCK-3: writes where it is through no symlink, and reads no pipe", async (t) => {
    const { folder, path } = await fixture(t);
    const victim = join(folder, "victim");
    await writeFile(victim, "mine");
    await symlink(victim, join(path, "fsck.json"));
    await interruptedCheck(path);
    assert.equal(await readFile(victim, "utf8"), "mine");
    assert.equal((await lstat(join(path, "fsck.json"))).isFile(), true);
    await psyncOk(["fsck"], { store: path });
    execFileSync("mkfifo", [join(path, "fsck.json")]);
    await psyncOk(["fsck"], { store: path });
  });

  it(
    "FSCK-3: writes nothing into somebody else's store, and believes nothing that stands there",
    { skip: isRoot ? false : "needs root, to give a store away" },
    async (t) => {
      const { path, hash } = await fixture(t);
      const { fsck: file } = storeLayout(path);
      await flipBit(join(path, "blocks", hash));
      const last = { place: "cached", after: "f".repeat(64), checkedCount: 3, checkedBytes: 3 };
      const saved = { version: 1, savedUnixMs: Date.now(), suspects: [], ...last };
      await writeFile(file, JSON.stringify(saved));
      assert.match((await psync(["fsck"], { store: path })).stderr, /going on/);
      await writeFile(file, JSON.stringify(saved));
      await chown(path, 12_345, 12_345);
      const { status, stderr } = await psync(["fsck"], { store: path });
      assert.equal(status, 5);
      assert.doesNotMatch(stderr, /going on/);
      await interruptedCheck(path);
      assert.equal(await readFile(file, "utf8"), JSON.stringify(saved));
    },
  );
});

it("gc reads no pipe in the place of a claim", async (t) => {
  const { folder, path, hash } = await fixture(t);
  const lists = join(folder, "lists");
  await mkdir(lists);
  await writeFile(join(lists, "a.hashlist"), `${hash}\n`);
  execFileSync("mkfifo", [join(path, "claims", "x.claims")]);
  const { status, stderr } = await psync(["gc", "--keep", lists, "--dry-run"], { store: path });
  assert.equal(status, 7);
  assert.match(stderr, /x\.claims is not a regular file/);
});

it("STORE-1: bad cached blocks are set aside, a limited number of them", async (t) => {
  const { path } = await fixture(t);
  const store = await openTestStore(t, path);
  const { maxCachedAside } = LIMITS.store;
  for (let number = 0; number < maxCachedAside + 5; number += 1) {
    const block = makeBlock(1000 + number, 100);
    await store.blocks.cache(block);
    await flipBit(join(path, "cache", block.hash));
    assert.equal(await store.blocks.read(block.hash), undefined);
  }
  assert.equal((await readdir(join(path, "quarantine"))).length, maxCachedAside);
  assert.deepEqual(await readdir(join(path, "cache")), []);
});

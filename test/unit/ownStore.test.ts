/** Whose a store must be to be written to, with which modes it is made, and that nothing in it is followed elsewhere. */
import assert from "node:assert/strict";
import {
  chmod,
  chown,
  lchown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError } from "../../src/core/errors.js";
import { openToRead } from "../../src/store/openToRead.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync } from "../support/cli.js";
import { createLineLog, isRoot, makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const SOMEBODY = 65_534;
const FOLDERS = ["blocks", "cache", "tmp", "quarantine", "log"];
const block = makeBlock(1, 4096);

/** A store with a kept block, closed. @returns its path */
async function madeStore(t: TestContext): Promise<string> {
  const path = join(await tempFolder(t), "store");
  const store = await openTestStore(t, path);
  await store.blocks.keep([block]);
  await store.close();
  return path;
}

async function refused(work: Promise<unknown>, message: RegExp, hint: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isPsyncError(error, "ERR_PSYNC_STORE"), String(error));
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  });
}

describe("STORE-5: a store", () => {
  for (const umask of [0o000, 0o002, 0o027, 0o077]) {
    it(`is its user's alone, whatever the umask: ${umask.toString(8)}`, async (t) => {
      const path = join(await tempFolder(t), "a", "store");
      const before = process.umask(umask);
      try {
        const store = await openTestStore(t, path);
        await store.blocks.keep([block]);
        await store.blocks.cache(makeBlock(2));
        store.sizes.set("ab".repeat(32), 1);
        for (const each of [dirname(path), path, ...FOLDERS.map((name) => join(path, name))])
          assert.equal((await stat(each)).mode & 0o7777, 0o700, each);
        for (const each of await readdir(path, { recursive: true, withFileTypes: true })) {
          const mode = (await stat(join(each.parentPath, each.name))).mode & 0o7777;
          if (each.isFile()) assert.equal(mode, 0o600, each.name);
        }
        assert.ok((await readdir(path)).includes("index.db-wal"));
      } finally {
        process.umask(before);
      }
    });
  }

  for (const name of ["", ...FOLDERS, "index.db"]) {
    it(`is not written to when others may write to it: ${name || "itself"}`, async (t) => {
      const path = await madeStore(t);
      const part = join(path, name);
      for (const bit of [0o020, 0o002]) {
        await chmod(part, ((await stat(part)).mode & 0o755) | bit);
        await refused(
          openTestStore(t, path),
          /can be written by others, its mode is 0/,
          /chmod go-w \//,
        );
      }
      await chmod(part, (await stat(part)).mode & 0o755);
      await openTestStore(t, path);
    });

    it(
      `is not written to when it is somebody else's: ${name || "itself"}`,
      { skip: isRoot ? false : "needs root, to give it away" },
      async (t) => {
        const path = await madeStore(t);
        await chown(join(path, name), SOMEBODY, SOMEBODY);
        await refused(
          openTestStore(t, path),
          /belongs to user 65534, and psync runs as user 0/,
          /chown -R 0 \//,
        );
      },
    );
  }

  it(
    "of somebody else is refused by what writes and by a mount, and read by what reads",
    { skip: isRoot ? false : "needs root, to give it away" },
    async (t) => {
      const path = await madeStore(t);
      for (const each of ["", ...(await readdir(path, { recursive: true }))])
        await lchown(join(path, each), SOMEBODY, SOMEBODY);
      await rm(join(path, "log"), { recursive: true });
      const before = await readdir(path, { recursive: true });
      const lists = dirname(path);
      const mountpoint = join(lists, "mnt");
      await mkdir(mountpoint);
      for (const args of [
        ["export"],
        ["get", "http://127.0.0.1:1"],
        ["mount", lists, mountpoint],
        ["mount", "--daemon", lists, mountpoint],
        ["serve", "localhost:0", "--server", "http://127.0.0.1:1"],
      ]) {
        const { status, stderr } = await psync(args, { store: path, input: `${block.hash}\n` });
        assert.equal(status, 7, `${args.join(" ")}: ${stderr}`);
        assert.match(stderr, /belongs to user 65534.*\nhint: .*chown/, args[0]);
      }
      const cat = await psync(["cat", block.hash], { store: path });
      assert.deepEqual(cat.stdout, Buffer.from(block.bytes));
      assert.equal(cat.stderr, "");
      for (const args of [["glue"], ["info", "-"]]) {
        const { status, stderr } = await psync(args, { store: path, input: `${block.hash}\n` });
        assert.equal(status, 0, stderr);
      }
      assert.deepEqual(await readdir(path, { recursive: true }), before);
    },
  );

  it("that others may write to is read, and none of it is changed", async (t) => {
    const path = await madeStore(t);
    await chmod(join(path, "blocks"), 0o777);
    await writeFile(join(path, "blocks", block.hash), "wrong");
    const log = createLineLog();
    const store = await openToRead({ path, clock: systemClock, log, wish: "read" });
    cleanUp(t, () => store.close());
    assert.equal(await store.blocks.read(block.hash), undefined);
    assert.deepEqual(await readdir(join(path, "quarantine")), []);
    await chmod(path, 0o777);
    const { stdout } = await psync(["doctor"], { store: path });
    assert.match(stdout.toString(), /^warn +store .*can be written by others.*export, get, mount/m);
    assert.match(log.lines[0] ?? "", /^debug the store is only read: .*can be written by others/);
  });
});

describe("STORE-6: a symlink in a store", () => {
  it("is no block: the link is set aside, and where it leads stays as it is", async (t) => {
    for (const [place, folder] of [
      ["kept", "blocks"],
      ["cached", "cache"],
    ] as const) {
      const path = await madeStore(t);
      const target = join(dirname(path), "of the user");
      const linked = makeBlock(7);
      // Its bytes would even be right.
      await writeFile(target, linked.bytes);
      await symlink(target, join(path, folder, linked.hash));
      const log = createLineLog();
      const store = await openTestStore(t, path, { log });
      assert.equal(await store.blocks.find(linked.hash), undefined);
      assert.equal(await store.blocks.read(linked.hash), undefined);
      assert.ok(log.lines.some((line) => /^warn bad block set aside.*is a symlink/.test(line)));
      const [aside = ""] = await readdir(join(path, "quarantine"));
      assert.ok((await lstat(join(path, "quarantine", aside))).isSymbolicLink());
      assert.deepEqual(await readFile(target), Buffer.from(linked.bytes));
      await (place === "kept" ? store.blocks.keep([linked]) : store.blocks.cache(linked));
      assert.equal((await store.blocks.find(linked.hash))?.place, place);
      assert.ok((await lstat(join(path, folder, linked.hash))).isFile());
    }
  });

  it("is replaced by what is kept, and never synced as if it were kept", async (t) => {
    const path = await madeStore(t);
    const target = join(dirname(path), "of the user");
    await writeFile(target, block.bytes);
    await rm(join(path, "blocks", block.hash));
    await symlink(target, join(path, "blocks", block.hash));
    const store = await openTestStore(t, path);
    await refused(store.blocks.sync([block.hash]), /is not there any more/, /again/);
    await store.blocks.keep([block]);
    assert.ok((await lstat(join(path, "blocks", block.hash))).isFile());
    assert.ok((await lstat(target)).isFile());
    // Nor is one that leads nowhere, or in a circle.
    await symlink("nowhere", join(path, "blocks", makeBlock(2).hash));
    await symlink(makeBlock(3).hash, join(path, "blocks", makeBlock(3).hash));
    await store.blocks.keep([makeBlock(2), makeBlock(3)]);
    assert.ok(await store.blocks.read(makeBlock(3).hash));
  });

  it("is no index: the link is set aside, and an index is made", async (t) => {
    for (const suffix of ["", "-wal", "-shm"]) {
      const path = await madeStore(t);
      const target = join(dirname(path), "of the user");
      await writeFile(target, "keep me");
      await rm(join(path, `index.db${suffix}`), { force: true });
      await symlink(target, join(path, `index.db${suffix}`));
      const store = await openTestStore(t, path);
      await store.blocks.cache(makeBlock(2));
      store.sizes.set("ab".repeat(32), 9);
      await store.close();
      assert.equal(await readFile(target, "utf8"), "keep me");
      assert.ok((await lstat(join(path, "index.db"))).isFile());
      assert.equal((await openTestStore(t, path)).sizes.get("ab".repeat(32)), 9);
    }
  });

  it("in tmp/ is cleared without what it leads to", async (t) => {
    const path = await madeStore(t);
    const target = join(dirname(path), "of the user");
    await writeFile(target, "keep me");
    const [pid, start, namespace] = ["999999999", "1", await ownNamespace()];
    await symlink(target, join(path, "tmp", `${pid}.${start}.${namespace}.abc`));
    await symlink(target, join(path, "tmp", "fresh"));
    await openTestStore(t, path);
    assert.deepEqual(await readdir(join(path, "tmp")), ["fresh"]);
    assert.equal(await readFile(target, "utf8"), "keep me");
  });

  for (const name of FOLDERS) {
    it(`in the place of a folder is refused: ${name}`, async (t) => {
      const path = await madeStore(t);
      await rename(join(path, name), join(dirname(path), "elsewhere"));
      await symlink(join(dirname(path), "elsewhere"), join(path, name));
      const message = /is a symlink, which psync does not follow/;
      await refused(openTestStore(t, path), message, /move the whole store/);
      const reading = openToRead({ path, clock: systemClock, log: createLineLog(), wish: "read" });
      await refused(reading, message, /move the whole store/);
    });
  }

  it("may be the store's own path", async (t) => {
    const path = await madeStore(t);
    const link = join(dirname(path), "link");
    await symlink(path, link);
    const store = await openTestStore(t, link);
    assert.ok(await store.blocks.read(block.hash));
    await store.blocks.cache(makeBlock(2));
    assert.equal((await readdir(join(path, "cache"))).length, 1);
  });
});

async function ownNamespace(): Promise<string> {
  const { readlink } = await import("node:fs/promises");
  return /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "0";
}

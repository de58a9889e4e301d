/** Which lists stand for the paths that somebody names; to miss one would be to remove its blocks. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdir, realpath, rename, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { ERROR_TABLE, isPsyncError, type PsyncError } from "../../src/core/errors.js";
import { findLists } from "../../src/hashlist/findLists.js";
import { largeInodesFolder, noSmallDisk } from "../support/smallDisk.js";
import { tempFolder } from "../support/tempFolder.js";

const { signal } = new AbortController();
const LINE = `${"a".repeat(64)}\n`;

async function lists(t: TestContext, ...names: readonly string[]): Promise<string> {
  const folder = await tempFolder(t);
  for (const name of names) {
    await mkdir(join(folder, name, ".."), { recursive: true });
    await writeFile(join(folder, name), LINE);
  }
  return folder;
}

async function found(paths: readonly string[], without?: ReadonlySet<string>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { path } of findLists(paths, { signal, ...(without ? { without } : {}) })) {
    seen.push(path);
  }
  return seen;
}

async function errorOf(paths: readonly string[]): Promise<PsyncError> {
  const error = await found(paths).then(
    () => assert.fail("it was read"),
    (error: unknown) => error,
  );
  return isPsyncError(error) ? error : assert.fail(String(error));
}

async function statusOf(paths: readonly string[]): Promise<number> {
  return ERROR_TABLE[(await errorOf(paths)).code].exitCode;
}

describe("lists by path", () => {
  it("are files, and all that is named like a list below folders", async (t) => {
    const folder = await lists(t, "b.hashlist", "a/c.hashlist", "a/notes.txt", "plain");
    assert.deepEqual(await found([join(folder, "plain"), folder]), [
      join(folder, "plain"),
      join(folder, "a", "c.hashlist"),
      join(folder, "b.hashlist"),
    ]);
  });

  it("LIST-5: are found behind symlinks, and a folder that several paths lead to is walked once", async (t) => {
    const folder = await lists(t, "in/a.hashlist");
    const other = await lists(t, "b.hashlist", "plain");
    await symlink(other, join(folder, "in", "other"));
    await symlink(other, join(folder, "twice"));
    await symlink(join(other, "plain"), join(folder, "c.hashlist"));
    await symlink(folder, join(folder, "in", "up"));
    assert.deepEqual(await found([folder]), [
      join(folder, "c.hashlist"),
      join(folder, "in", "a.hashlist"),
      join(folder, "in", "other", "b.hashlist"),
    ]);
    const links = join(await tempFolder(t), "links");
    await symlink(folder, links);
    assert.equal((await found([links])).length, 3);
  });

  it(
    "are found in all folders where inode numbers are too large for a double",
    { skip: noSmallDisk },
    async (t) => {
      const folder = await largeInodesFolder(t, ["a", "b", "c"]);
      const names = ["a", "b", "c"].map((name) => join(folder, name, "x.hashlist"));
      for (const name of names) await writeFile(name, LINE);
      assert.ok(!Number.isSafeInteger((await stat(join(folder, "a"))).ino));
      assert.deepEqual(await found([folder]), names);
      const [first = "", ...others] = names;
      assert.deepEqual(await found([folder], new Set([first])), others);
    },
  );

  it("LIST-5: behind a symlink to a folder that is away are not left out: it fails, and says what to do", async (t) => {
    const folder = await lists(t, "a.hashlist", "sub/b.hashlist");
    const disk = await lists(t, "disk/c.hashlist");
    const link = join(folder, "sub", "nas");
    await symlink(join(disk, "disk"), link);
    assert.equal((await found([folder])).length, 3);
    await rename(join(disk, "disk"), join(disk, "away"));
    const { code, message, hint } = await errorOf([folder]);
    assert.equal(code, "ERR_PSYNC_BAD_HASHLIST");
    assert.ok(message.includes(link), message);
    assert.match(hint ?? "", /mount/);
    const loop = await lists(t, "a.hashlist");
    await symlink("loop", join(loop, "loop"));
    assert.equal(await statusOf([loop]), 3);
  });

  it("LIST-5: stand beside symlinks to files that only a mount shows, as export leaves them", async (t) => {
    const folder = await lists(t, "lib.so.1.2.hashlist", "sub/x.hashlist", "notes.txt");
    await symlink("lib.so.1.2", join(folder, "lib.so.1"));
    await symlink("lib.so.1", join(folder, "lib.so"));
    await symlink("../lib.so", join(folder, "sub", "lib.so"));
    await symlink("notes.txt", join(folder, "notes"));
    assert.deepEqual(await found([folder]), [
      join(folder, "lib.so.1.2.hashlist"),
      join(folder, "sub", "x.hashlist"),
    ]);
    await symlink("lib.so.2", join(folder, "lib.so.3"));
    assert.equal(await statusOf([folder]), 3);
  });

  it("leave out those that are named by another path", async (t) => {
    const folder = await lists(t, "a.hashlist", "b.hashlist");
    const without = new Set([await realpath(join(folder, "b.hashlist"))]);
    assert.deepEqual(await found([folder], without), [join(folder, "a.hashlist")]);
    assert.deepEqual(await found([join(folder, "b.hashlist")], without), []);
  });

  it("LIST-5: that are bad, or cannot be read, fail with status 3, a folder without any with 2, a path with nothing with 1", async (t) => {
    const bad = await lists(t, "good.hashlist");
    await writeFile(join(bad, "bad.hashlist"), "no list\n");
    assert.equal(await statusOf([bad]), 3);
    const dangling = await lists(t, "good.hashlist");
    await symlink("nowhere", join(dangling, "x.hashlist"));
    assert.equal(await statusOf([dangling]), 3);
    const fifo = await lists(t, "good.hashlist");
    execFileSync("mkfifo", [join(fifo, "x.hashlist")]);
    assert.equal(await statusOf([fifo]), 3);
    assert.equal(await statusOf([join(fifo, "missing")]), 1);
    const empty = await lists(t, "a.hashlist", "sub/notes.txt");
    assert.equal(await statusOf([empty, join(empty, "sub")]), 2);
    assert.equal((await found([empty])).length, 1);
  });
});

/** Which lists stand for the paths that somebody names; to miss one would be to remove its blocks. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { ERROR_TABLE, isPsyncError } from "../../src/core/errors.js";
import { fileId, findLists } from "../../src/hashlist/findLists.js";
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

async function statusOf(paths: readonly string[]): Promise<number> {
  try {
    await found(paths);
    return 0;
  } catch (error) {
    if (!isPsyncError(error)) throw error;
    return ERROR_TABLE[error.code].exitCode;
  }
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

  it("are found behind symlinks, and folders that lead to themselves are walked once", async (t) => {
    const folder = await lists(t, "in/a.hashlist");
    const other = await lists(t, "b.hashlist", "plain");
    await symlink(other, join(folder, "in", "other"));
    await symlink(join(other, "plain"), join(folder, "c.hashlist"));
    await symlink(folder, join(folder, "in", "up"));
    assert.deepEqual(await found([folder]), [
      join(folder, "c.hashlist"),
      join(folder, "in", "a.hashlist"),
      join(folder, "in", "other", "b.hashlist"),
    ]);
  });

  it("leave out those that are named by another path", async (t) => {
    const folder = await lists(t, "a.hashlist", "b.hashlist");
    const without = new Set([await fileId(join(folder, "b.hashlist"), signal)]);
    assert.deepEqual(await found([folder], without), [join(folder, "a.hashlist")]);
    assert.deepEqual(await found([join(folder, "b.hashlist")], without), []);
  });

  it("that are bad, or cannot be read, fail with status 3, and a folder without any with 2", async (t) => {
    const bad = await lists(t, "good.hashlist");
    await writeFile(join(bad, "bad.hashlist"), "no list\n");
    assert.equal(await statusOf([bad]), 3);
    const dangling = await lists(t, "good.hashlist");
    await symlink("nowhere", join(dangling, "x.hashlist"));
    assert.equal(await statusOf([dangling]), 3);
    const fifo = await lists(t, "good.hashlist");
    execFileSync("mkfifo", [join(fifo, "x.hashlist")]);
    assert.equal(await statusOf([fifo]), 3);
    assert.equal(await statusOf([join(fifo, "missing")]), 3);
    const empty = await lists(t, "a.hashlist", "sub/notes.txt");
    assert.equal(await statusOf([empty, join(empty, "sub")]), 2);
    assert.equal(await statusOf([empty]), 0);
  });
});

import { strict as assert } from "node:assert";
import {
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemErrorCode } from "../../src/core/errors.js";
import { blockOf } from "../../src/block/verify.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { madeUpHashes } from "../support/lists.js";
import { listsFixture, shell } from "../support/mountedCli.js";
import { until } from "../support/until.js";
import { skipReason } from "../support/mounting.js";

const MIB = 1024 * 1024;

describe("names and lists of a mounted folder", { skip: skipReason() }, () => {
  it("TREE-1, TREE-3, TREE-6: odd names, symlinks, mtime and exec bit are as in the lists' folder", async (t) => {
    const { lists, add, mount, serve } = await listsFixture(t);
    const names = [
      "with space",
      "new\nline",
      "日本語/ünï",
      `long/${"x".repeat(246)}`,
      "-rf",
      "a.hashlist",
    ];
    for (const name of names) await add(name, Buffer.from(name));
    await mkdir(join(lists, "d".repeat(255)));
    await symlink("with space", join(lists, "link"));
    await shell(
      `chmod 755 "with space.hashlist"; touch -d @1000000000 "with space.hashlist"`,
      lists,
    );
    await writeFile(join(lists, "notes.txt"), "not shown");
    const { folder, process } = await mount([(await serve()).url]);
    for (const name of names) assert.equal(await readFile(join(folder, name), "utf8"), name);
    assert.equal(await readFile(join(folder, "link"), "utf8"), "with space");
    assert.equal(await readlink(join(folder, "link")), "with space");
    assert.ok((await stat(join(folder, "d".repeat(255)))).isDirectory());
    const { mode, mtimeMs } = await stat(join(folder, "with space"));
    assert.equal(mode & 0o777, 0o555);
    assert.equal(mtimeMs, 1e12);
    await assert.rejects(stat(join(folder, "notes.txt")), { code: "ENOENT" });
    const shown = await readdir(folder);
    assert.ok(shown.includes("a.hashlist") && !shown.includes("notes.txt"));
    await shell(
      "ls -la . .. >/dev/null && cd 日本語 && cd .. && ls ünï 日本語/../link 2>/dev/null || true",
      folder,
    );
    assert.match(process.stderr(), /1 names that are not hashlists are not shown/);
  });

  it("TREE-5, TREE-6: statfs, and a file above 4 TiB of one repeated block", async (t) => {
    const { lists, mount, serve } = await listsFixture(t);
    const block = blockOf(Buffer.alloc(2 * MIB));
    const count = 2 * 1024 * 1024 + 1;
    await writeFile(
      join(lists, "sparse.hashlist"),
      `${`${block.hash}\n`.repeat(count)}\nsize: ${count * 2 * MIB}\nblock-size: ${2 * MIB}\n`,
    );
    const server = await serve([block]);
    const { folder } = await mount([server.url]);
    const { size, blocks } = await stat(join(folder, "sparse"));
    assert.equal(size, count * 2 * MIB);
    assert.equal(blocks, size / 512);
    const file = await open(join(folder, "sparse"));
    try {
      const piece = Buffer.alloc(8192, 1);
      assert.equal((await file.read(piece, 0, 8192, size - 4096)).bytesRead, 4096);
      assert.equal((await file.read(piece, 0, 8192, size - 3 * MIB)).bytesRead, 8192);
      assert.deepEqual(piece, Buffer.alloc(8192));
    } finally {
      await file.close();
    }
    assert.equal(server.requestCount(), 1);
    const { bavail, bfree } = await statfs(folder);
    assert.deepEqual([bavail, bfree], [0, 0]);
    assert.equal((await shell("stat -f -c %l .", folder)).trim(), "255");
  });

  it("TREE-1, TREE-4: 100,000 lists in a folder are listed, and found, with the same inodes at the next mount", async (t) => {
    const { lists, mount } = await listsFixture(t);
    await mkdir(join(lists, "many"));
    const text = "\nsize: 0\nblock-size: 2097152\n";
    for (let number = 0; number < 100_000; number += 500) {
      await Promise.all(
        Array.from({ length: 500 }, (_value, index) =>
          writeFile(join(lists, "many", `${number + index}.hashlist`), text),
        ),
      );
    }
    const inodes = async (): Promise<string> => {
      const { folder, process } = await mount([]);
      assert.equal((await readdir(join(folder, "many"))).length, 100_000);
      const seen = await shell("cd many && stat -c '%n %i %s' 0 1 2 31337 99999", folder);
      await process.stop();
      return seen;
    };
    const first = await inodes();
    assert.match(first, /^0 \d+ 0\n/);
    assert.equal(await inodes(), first);
  });

  it("LIST-2: bad hashlists hurt only themselves", async (t) => {
    const { lists, add, mount, serve } = await listsFixture(t);
    await add("good", Buffer.from("good"));
    const junk: Record<string, string | Buffer> = {
      bom: `\ufeff${madeUpHashes(1)}`,
      nul: "\0".repeat(100),
      binary: seededBytes("junk", 100_000),
      short: madeUpHashes(2).slice(1),
      contradiction: `${madeUpHashes(2)}\nsize: 1\n`,
    };
    for (const [name, text] of Object.entries(junk)) {
      await writeFile(join(lists, `${name}.hashlist`), text);
    }
    await shell("truncate -s 1G huge.hashlist", lists);
    junk["huge"] = "";
    const { folder, process } = await mount([(await serve()).url]);
    const names = (await readdir(folder)).sort();
    assert.deepEqual(names, [...Object.keys(junk), "good"].sort());
    for (const name of Object.keys(junk)) {
      await assert.rejects(readFile(join(folder, name)), { code: "EIO" }, name);
      assert.match(process.stderr(), new RegExp(`${join(lists, name)}\\.hashlist:\\d+:\\d+: `));
    }
    assert.equal(await readFile(join(folder, "good"), "utf8"), "good");
  });

  it("CHANGE-1, CHANGE-2: a changed list shows at the next open; an open file keeps what it had", async (t) => {
    const { lists, add, mount, serve } = await listsFixture(t);
    const [older, newer] = [seededBytes("older", 3 * MIB), seededBytes("newer", 3 * MIB)];
    await add("other", newer);
    await add("file", older);
    const { folder } = await mount([(await serve()).url]);
    const list = join(lists, "file.hashlist");
    await shell(`touch -d @1000000000 ${list}`, lists);
    const first = await open(join(folder, "file"));
    cleanUp(t, () => first.close());
    const piece = Buffer.alloc(4096);
    await first.read(piece, 0, 4096, 0);
    // The same size and the same mtime: only the content tells.
    await shell(`cp other.hashlist new && touch -d @1000000000 new && mv new ${list}`, lists);
    assert.deepEqual(await readFile(join(folder, "file")), newer);
    const old = Buffer.alloc(older.length);
    for (let at = 0; at < old.length; at += MIB) await first.read(old, at, MIB, at);
    assert.deepEqual(old, older);
    assert.deepEqual(await readFile(join(folder, "file")), newer);
  });

  it("CHANGE-1: a changed size is seen within about a second, and a list that goes away is gone", async (t) => {
    const { lists, add, mount, serve } = await listsFixture(t);
    await add("file", Buffer.from("short"));
    const { folder } = await mount([(await serve()).url]);
    assert.equal((await stat(join(folder, "file"))).size, 5);
    await add("file", Buffer.from("longer than before"));
    await until("the new size", async () => (await stat(join(folder, "file"))).size === 18);
    await rm(join(lists, "file.hashlist"));
    await until("the file is gone", () =>
      stat(join(folder, "file")).then(
        () => false,
        (error: unknown) => systemErrorCode(error) === "ENOENT",
      ),
    );
  });

  it("TREE-1: one list is mounted as a folder with its file", async (t) => {
    const { lists, add, mount, serve } = await listsFixture(t);
    await add("file", Buffer.from("single"));
    await add("other", Buffer.from("other"));
    const { folder } = await mount([(await serve()).url], { lists: join(lists, "file.hashlist") });
    assert.deepEqual(await readdir(folder), ["file"]);
    assert.equal(await readFile(join(folder, "file"), "utf8"), "single");
  });
});

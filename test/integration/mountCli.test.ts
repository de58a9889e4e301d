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
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "node:test";
import { systemErrorCode } from "../../src/core/errors.js";
import { blockOf } from "../../src/block/verify.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk, startPsync } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { madeUpHashes } from "../support/lists.js";
import { listsFixture, shell, tryShell } from "../support/mountedCli.js";
import { untilAsync } from "../support/until.js";
import { skipReason } from "../support/mounting.js";

const MIB = 1024 * 1024;
const DEAD = "http://127.0.0.1:1";

describe("a mounted folder of hashlists", { skip: skipReason() }, () => {
  it("LAZY-1, READ-2: 4 KiB in the middle of 10 GiB fetch one block, and mounting and listing fetch none", async (t) => {
    const { lists, mount, serve } = await listsFixture(t);
    const middle = seededBytes("middle", 2 * MIB);
    const block = blockOf(middle);
    const server = await serve([block]);
    const hashes = madeUpHashes(5119).split("\n");
    hashes.splice(2500, 0, block.hash);
    await writeFile(
      join(lists, "disk.img.hashlist"),
      `${hashes.join("\n")}\nsize: ${5120 * 2 * MIB}\nblock-size: ${2 * MIB}\n`,
    );
    const { folder } = await mount([server.url]);
    await shell("ls -lR . && stat disk.img && du -s . && find . -type f", folder);
    assert.equal(server.requestCount(), 0);
    assert.equal((await stat(join(folder, "disk.img"))).size, 10 * 1024 * MIB);
    const file = await open(join(folder, "disk.img"));
    try {
      const piece = Buffer.alloc(4096);
      const offset = MIB + 12288;
      await file.read(piece, 0, 4096, 2500 * 2 * MIB + offset);
      assert.deepEqual(piece, middle.subarray(offset, offset + 4096));
    } finally {
      await file.close();
    }
    assert.equal(server.requestCount(), 1);
  });

  it("LAZY-1, SIZE-1: with every server down it mounts, lists and stats; plain lists fail in stat, not with a guess", async (t) => {
    const { add, mount } = await listsFixture(t);
    await add("with-trailer", seededBytes("t", 5000));
    await add("plain", seededBytes("p", 5000), { plain: true });
    const { folder } = await mount([]);
    assert.deepEqual((await readdir(folder)).sort(), ["plain", "with-trailer"]);
    assert.equal((await stat(join(folder, "with-trailer"))).size, 5000);
    await assert.rejects(stat(join(folder, "plain")), { code: "EIO" });
    await assert.rejects(readFile(join(folder, "with-trailer")), { code: "EIO" });
  });

  it("READ-1, SIZE-2: ordinary tools read the same bytes: cmp, tar, cp, dd, a mapping, many at once", async (t) => {
    const { folder: base, add, mount, serve } = await listsFixture(t);
    const bytes = seededBytes("file", 11 * MIB + 4321);
    await writeFile(join(base, "original"), bytes);
    await add("a/b/file", bytes, { plain: true });
    await add("empty", Buffer.alloc(0));
    await add("one", Buffer.from("x"));
    const { folder } = await mount([(await serve()).url]);
    await shell(`cmp ../original a/b/file && test ! -s empty && test "$(cat one)" = x`, folder);
    await shell("tar cf - a/b/file | tar xOf - | cmp - ../original", folder);
    await shell("cp -a a/b/file ../copy && cmp ../copy ../original", folder);
    await shell("tail -c 100000 a/b/file | cmp - <(tail -c 100000 ../original)", folder);
    await shell(
      "for i in 1 2 3 4 5 6 7 8; do cmp a/b/file ../original & done; wait -n; wait",
      folder,
    );
    const mapped = `import mmap,sys
f=open("a/b/file","rb"); m=mmap.mmap(f.fileno(),0,access=mmap.ACCESS_READ)
sys.exit(0 if m[:]==open("../original","rb").read() else 1)`;
    await writeFile(join(base, "mapped.py"), mapped);
    await shell("python3 ../mapped.py", folder);
    await shell("find . -type f | wc -l | grep -qx 3", folder);
  });

  it("FETCH-1, FETCH-2: a lying server in front is asked, banned, and passed over", async (t) => {
    const { add, mount, serve, blocks } = await listsFixture(t);
    const bytes = seededBytes("lied about", 9 * MIB);
    await add("file", bytes);
    const liar = await startFaultyServer({ blocks, seed: 2, fault: "flippedBit" });
    cleanUp(t, () => liar.close());
    const { folder, process } = await mount([DEAD, liar.url, (await serve()).url]);
    assert.deepEqual(await readFile(join(folder, "file")), bytes);
    assert.equal(liar.requestCount(), 1);
    assert.match(process.stderr(), /gave wrong bytes for block/);
  });

  it("FETCH-3: a server killed in the middle of a read and started again goes unnoticed", async (t) => {
    const { add, mount, blocks, serve } = await listsFixture(t);
    const bytes = seededBytes("restart", 24 * MIB);
    await add("file", bytes);
    const first = await serve();
    const { folder } = await mount([first.url]);
    const file = await open(join(folder, "file"));
    try {
      const read = Buffer.alloc(bytes.length);
      await file.read(read, 0, 8 * MIB, 0);
      await first.close();
      const rest = file.read(read, 8 * MIB, 16 * MIB, 8 * MIB);
      // Long enough that the reader finds it gone at least once.
      await sleep(300);
      await serve(blocks, first.port);
      await rest;
      for (let at = 8 * MIB; at < read.length; at += MIB) await file.read(read, at, MIB, at);
      assert.deepEqual(read, bytes);
    } finally {
      await file.close();
    }
  });

  it("ERR-1, ERR-2: a missing path is ENOENT; a block that nobody has is EIO, and the rest is read", async (t) => {
    const { add, mount, serve, blocks } = await listsFixture(t);
    const bytes = seededBytes("hole", 6 * MIB);
    await add("file", bytes);
    const lost = blockOf(bytes.subarray(2 * MIB, 4 * MIB)).hash;
    const server = await serve(blocks.filter(({ hash }) => hash !== lost));
    const { folder, process } = await mount([server.url]);
    await assert.rejects(stat(join(folder, "none")), { code: "ENOENT" });
    await assert.rejects(stat(join(folder, "file", "x")), { code: "ENOTDIR" });
    await assert.rejects(stat(join(folder, "n".repeat(256))), { code: "ENAMETOOLONG" });
    const file = await open(join(folder, "file"));
    try {
      const piece = Buffer.alloc(MIB);
      await assert.rejects(file.read(piece, 0, MIB, 2 * MIB + 4096), { code: "EIO" });
      for (const at of [0, 5 * MIB]) {
        assert.equal((await file.read(piece, 0, MIB, at)).bytesRead, MIB);
        assert.deepEqual(piece, bytes.subarray(at, at + MIB));
      }
      // What lies before the hole is given, as a disk with a bad sector would.
      const before = await file.read(piece, 0, MIB, 2 * MIB - 8192);
      assert.deepEqual(
        piece.subarray(0, before.bytesRead),
        bytes.subarray(2 * MIB - 8192, 2 * MIB),
      );
    } finally {
      await file.close();
    }
    assert.match(
      process.stderr(),
      new RegExp(`cannot read /file: block ${lost} .*${server.url}: 404`),
    );
    assert.ok(server.requestCount(lost) <= 2, "the kernel's own retries are answered from memory");
  });

  it("VERIFY-2: a cached block with a flipped bit is set aside and fetched again, unnoticed", async (t) => {
    const { add, mount, serve, store } = await listsFixture(t);
    const bytes = seededBytes("rot", 5 * MIB);
    await add("file", bytes);
    const server = await serve();
    const first = await mount([server.url]);
    assert.deepEqual(await readFile(join(first.folder, "file")), bytes);
    assert.equal(await first.process.stop(), 0);
    const hash = blockOf(bytes.subarray(2 * MIB, 4 * MIB)).hash;
    const path = join(store, "cache", hash);
    const damaged = await readFile(path);
    damaged.writeUInt8(damaged.readUInt8(12345) ^ 16, 12345);
    await writeFile(path, damaged);
    const second = await mount([server.url]);
    assert.deepEqual(await readFile(join(second.folder, "file")), bytes);
    assert.equal(server.requestCount(hash), 2);
    assert.equal(server.requestCount(), 4);
    assert.match(second.process.stderr(), new RegExp(hash));
    assert.equal((await readdir(join(store, "quarantine"))).length, 1);
  });

  it("VERIFY-1: what was read once is read again with every server gone, from the cache", async (t) => {
    const { add, mount, serve } = await listsFixture(t);
    const bytes = seededBytes("again", 5 * MIB);
    await add("file", bytes);
    const server = await serve();
    const first = await mount([server.url]);
    assert.deepEqual(await readFile(join(first.folder, "file")), bytes);
    await first.process.stop();
    await server.close();
    const second = await mount([]);
    assert.deepEqual(await readFile(join(second.folder, "file")), bytes);
  });

  it("READ-3: a size that nobody tells is ETIMEDOUT when the time is up", async (t) => {
    const { add, mount, blocks } = await listsFixture(t);
    await add("plain", seededBytes("silent", 5000), { plain: true });
    const silent = await startFaultyServer({ blocks, seed: 4, fault: "stalledBeforeHeaders" });
    cleanUp(t, () => silent.close());
    const { folder } = await mount([silent.url, silent.url.replace("127.0.0.1", "localhost")]);
    await assert.rejects(stat(join(folder, "plain")), { code: "ETIMEDOUT" });
    assert.deepEqual(await readdir(folder), ["plain"]);
  });

  it("RO-1: whatever would change something is EROFS", async (t) => {
    const { add, mount, serve } = await listsFixture(t);
    await add("folder/file", Buffer.from("text"));
    const { folder } = await mount([(await serve()).url]);
    for (const command of [
      "touch new",
      "touch folder/file",
      "echo x >> folder/file",
      "rm -f folder/file",
      "mkdir new",
      "rmdir folder",
      "mv folder/file folder/other",
      "ln folder/file new",
      "ln -s x new",
      "chmod 600 folder/file",
      "chown 1 folder/file",
      "truncate -s 0 folder/file",
      "mkfifo new",
    ]) {
      const { status, output } = await tryShell(command, folder);
      assert.notEqual(status, 0, command);
      assert.match(output, /Read-only file system/, command);
    }
    assert.equal(await readFile(join(folder, "folder/file"), "utf8"), "text");
  });

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
    await untilAsync(async () => (await stat(join(folder, "file"))).size === 18);
    await rm(join(lists, "file.hashlist"));
    await untilAsync(() =>
      stat(join(folder, "file")).then(
        () => false,
        (error: unknown) => systemErrorCode(error) === "ENOENT",
      ),
    );
  });

  it("STORE-1: a mount, a server and a get work on one store at once", async (t) => {
    const { folder: base, lists, store, add, mount, serve } = await listsFixture(t);
    const bytes = seededBytes("shared", 15 * MIB);
    await add("file", bytes);
    const { url } = await serve();
    const { folder } = await mount([url]);
    const server = await startPsync(["serve", "localhost:0"], { store });
    cleanUp(t, () => server.stop());
    const list = join(lists, "file.hashlist");
    const [read] = await Promise.all([
      readFile(join(folder, "file")),
      psyncOk(["get", url, list], { store }),
    ]);
    assert.deepEqual(read, bytes);
    const elsewhere = join(base, "elsewhere");
    await psyncOk(["get", server.firstLine, list], { store: elsewhere });
    assert.deepEqual((await psync(["glue", list], { store: elsewhere })).stdout, bytes);
    assert.deepEqual(await readFile(join(folder, "file")), bytes);
  });

  it("STORE-4: a full store does not fail a read", async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("only root mounts a small file system");
      return;
    }
    const { folder: base, store, add, mount, serve } = await listsFixture(t);
    const bytes = seededBytes("full", 30 * MIB);
    await add("file", bytes);
    await mkdir(store);
    await shell(`mount -t tmpfs -o size=8m tmpfs ${store}`, base);
    cleanUp(t, () => shell(`umount -l ${store}`, base));
    const { folder, process: mounted } = await mount([(await serve()).url]);
    assert.deepEqual(await readFile(join(folder, "file")), bytes);
    await mounted.stop();
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

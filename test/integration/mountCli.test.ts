import { strict as assert } from "node:assert";
import { mkdir, open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "node:test";
import { blockOf } from "../../src/block/verify.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk, startPsync } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { madeUpHashes } from "../support/lists.js";
import { listsFixture, shell, tryShell } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { diskUsage } from "../support/storeFixtures.js";

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

  it("STORE-3: the cache stays within --cache-size, else within cacheSize of config.json", async (t) => {
    const { store, add, mount, serve } = await listsFixture(t);
    await add("file", seededBytes("cache size", 9 * MIB));
    const { url } = await serve();
    await mkdir(store);
    await writeFile(join(store, "config.json"), '{ "cacheSize": "0" }');
    for (const [args, mostBytes] of [
      [[], 0],
      [["--cache-size", "5MiB"], 5 * MIB],
    ] as const) {
      const { folder, process } = await mount([url], { args: [...args] });
      assert.equal((await readFile(join(folder, "file"))).length, 9 * MIB);
      await process.stop();
      const usedBytes = await diskUsage(join(store, "cache"));
      assert.ok(usedBytes <= mostBytes, `${usedBytes}`);
      assert.equal(usedBytes > 0, mostBytes > 0);
    }
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
    await shell(`mount -t tmpfs -o size=8m,mode=700 tmpfs ${store}`, base);
    cleanUp(t, () => shell(`umount -l ${store}`, base));
    const { folder, process: mounted } = await mount([(await serve()).url]);
    assert.deepEqual(await readFile(join(folder, "file")), bytes);
    await mounted.stop();
  });
});

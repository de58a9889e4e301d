import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { createServer } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk, startPsync } from "../support/cli.js";
import { blockOf, type VerifiedBlock } from "../../src/block/verify.js";
import { seededBytes } from "../support/blocks.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { tempFolder } from "../support/tempFolder.js";
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const MIB = 1024 * 1024;

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A folder with a file of five blocks, exported into one store, and a second, empty store. */
async function fixture(context: TestContext) {
  const folder = await tempFolder(context);
  const file = join(folder, "data");
  const bytes = seededBytes("cli", 9 * MIB + 17);
  await writeFile(file, bytes);
  const [ours, theirs] = [join(folder, "ours"), join(folder, "theirs")];
  const list = join(folder, "data.hashlist");
  await writeFile(list, await psyncOk(["export", file], { store: theirs }));
  const serve = async () => {
    const server = await startPsync(["serve", "localhost:0"], { store: theirs });
    cleanUp(context, () => server.stop());
    return server;
  };
  return { folder, file, bytes, ours, theirs, list, serve };
}

describe("export", () => {
  it("EXPORT-1, CLI-1: a stream becomes bare hashes of 2 MiB blocks, and the blocks are files named by them", async (t) => {
    const { file, bytes, theirs, list } = await fixture(t);
    const hashes: string[] = [];
    for (let at = 0; at < bytes.length; at += 2 * MIB) {
      hashes.push(sha256(bytes.subarray(at, at + 2 * MIB)));
    }
    const expected = hashes.map((hash) => `${hash}\n`).join("");
    const fromStdin = await psyncOk(["export"], { store: theirs, input: await readFile(file) });
    assert.equal(fromStdin, expected);
    assert.equal(await readFile(list, "utf8"), expected);
    for (const hash of hashes) {
      assert.equal(sha256(await readFile(join(theirs, "blocks", hash))), hash);
    }
    assert.equal((await readdir(join(theirs, "blocks"))).length, hashes.length);
  });

  it("EXPORT-1: nothing is an empty list, with a trailer where one is asked for", async (t) => {
    const store = join(await tempFolder(t), "store");
    assert.equal(await psyncOk(["export"], { store }), "");
    const trailer = "\nsize: 0\nblock-size: 2097152\n";
    assert.equal(await psyncOk(["export", "--trailer"], { store }), trailer);
  });

  it("EXPORT-1: block sizes are chosen with --block-size and stand in the trailer", async (t) => {
    const store = join(await tempFolder(t), "store");
    const input = seededBytes("size", 10_000);
    const text = await psyncOk(["export", "--block-size", "4KiB", "--trailer"], { store, input });
    assert.match(text, /^([0-9a-f]{64}\n){3}\nsize: 10000\nblock-size: 4096\n$/);
    for (const size of ["0", "65MiB", "much"]) {
      assert.equal((await psync(["export", "--block-size", size], { store, input })).status, 2);
    }
  });

  it("EXPORT-2: a folder becomes a tree of lists, with mtime, exec bit and symlinks", async (t) => {
    const folder = await tempFolder(t);
    const [from, out, store] = ["from", "out", "store"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(join(from, "sub", "empty"), { recursive: true });
    await writeFile(join(from, "sub", "tool"), "#!/bin/sh\n");
    await chmod(join(from, "sub", "tool"), 0o755);
    await writeFile(join(from, "name\nwith ü.txt"), "text");
    await symlink("sub/tool", join(from, "link"));
    await utimes(join(from, "sub", "tool"), 1e9, 1e9);
    await utimes(join(from, "sub"), 1.1e9, 1.1e9);
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(join(from, "socket"), resolve));
    cleanUp(t, () => socket.close());
    const { status, stderr, stdout } = await psync(["export", from, "-o", out, "--json"], {
      store,
    });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /exported 2 files .*1 symlink, 1 skipped/);
    assert.equal((JSON.parse(stdout.toString()) as { skippedCount: number }).skippedCount, 1);
    assert.deepEqual((await readdir(out, { recursive: true })).sort(), [
      "link",
      "name\nwith ü.txt.hashlist",
      "sub",
      "sub/empty",
      "sub/tool.hashlist",
    ]);
    const tool = await stat(join(out, "sub", "tool.hashlist"));
    assert.equal(tool.mode & 0o111, 0o111);
    assert.equal(tool.mtimeMs, 1e12);
    assert.equal((await stat(join(out, "sub"))).mtimeMs, 1.1e12);
    assert.equal((await stat(join(out, "name\nwith ü.txt.hashlist"))).mode & 0o111, 0);
    assert.equal(await readlink(join(out, "link")), "sub/tool");
    // A second time gives the same, and replaces nothing it should not.
    assert.equal((await psync(["export", from, "-o", out], { store })).status, 0);
    assert.ok((await lstat(join(out, "link"))).isSymbolicLink());
  });

  it("EXPORT-2: the lists and the store are not exported, also where they lie inside the folder", async (t) => {
    const folder = await tempFolder(t);
    await writeFile(join(folder, "a"), "a");
    const store = join(folder, ".psync");
    for (let time = 0; time < 2; time += 1) {
      await psyncOk(["export", ".", "-o", "lists"], { store, cwd: folder });
    }
    assert.deepEqual(await readdir(join(folder, "lists"), { recursive: true }), ["a.hashlist"]);
  });

  it("EXPORT-2: files that cannot be listed are named, the others are exported, and the status is 1", async (t) => {
    const folder = await tempFolder(t);
    const from = join(folder, "from");
    await mkdir(from);
    await writeFile(join(from, "good"), "good");
    await writeFile(join(from, "n".repeat(255)), "its list's name would be too long");
    const { status, stderr } = await psync(["export", from, "-o", join(folder, "out")], {
      store: join(folder, "store"),
    });
    assert.equal(status, 1);
    assert.match(stderr, /n{255}.*\n/);
    assert.deepEqual(await readdir(join(folder, "out")), ["good.hashlist"]);
  });

  it("EXPORT-1: a file that changes while it is read gives no list", async (t) => {
    const folder = await tempFolder(t);
    const file = join(folder, "growing");
    await writeFile(file, Buffer.alloc(64 * MIB));
    const out = join(folder, "out.hashlist");
    const exporting = psync(["export", file, "-o", out], { store: join(folder, "store") });
    const state = { over: false };
    void exporting.then(() => {
      state.over = true;
    });
    // Until the end, so that it changes also when the export begins late.
    for (let size = 64 * MIB + 1; !state.over; size += 1) {
      await truncate(file, size);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { status, stderr } = await exporting;
    assert.equal(status, 1);
    assert.match(stderr, /changed while it was read/);
    assert.deepEqual((await readdir(folder)).sort(), ["growing", "store"]);
  });

  it("CLI-2: an export never overwrites what is not a list", async (t) => {
    const { folder, file, theirs: store } = await fixture(t);
    const other = join(folder, "other.iso");
    await writeFile(other, "precious");
    for (const out of [other, file]) {
      const { status, stderr } = await psync(["export", file, "-o", out], { store });
      assert.equal(status, 2, stderr);
    }
    assert.equal((await psync(["export", "-o", other], { store, input: "x" })).status, 2);
    assert.equal(await readFile(other, "utf8"), "precious");
    assert.equal((await psync(["export", folder], { store })).status, 2);
    assert.equal((await psync(["export", file, file], { store })).status, 2);
    assert.equal((await psync(["export", join(folder, "none")], { store })).status, 1);
  });
});

describe("get, glue, cat, info", () => {
  it("CLI-1: the way of the original: up, get URL < LIST, glue < LIST, cat HASH", async (t) => {
    const { bytes, ours, theirs, list } = await fixture(t);
    const server = await startPsync(["up", "localhost:0"], { store: theirs });
    cleanUp(t, () => server.stop());
    const input = await readFile(list);
    await psyncOk(["get", server.firstLine], { store: ours, input });
    await psyncOk(["get", "--force", server.firstLine], { store: ours, input });
    const glued = await psync(["glue", "--verify"], { store: ours, input });
    assert.deepEqual(glued.stdout, bytes);
    const [hash = ""] = input.toString().split("\n");
    const block = await psync(["cat", "--verify", hash.toUpperCase()], { store: ours });
    assert.deepEqual(block.stdout, bytes.subarray(0, 2 * MIB));
  });

  it("CLI-1: servers and lists stand in any order, and servers come from the environment too", async (t) => {
    const { ours, list, serve } = await fixture(t);
    const { firstLine: url } = await serve();
    await psyncOk(["get", list, url], { store: ours });
    await rm(ours, { recursive: true });
    await psyncOk(["get", list], { store: ours, env: { PSYNC_SERVERS: url } });
    await rm(ours, { recursive: true });
    await psyncOk(["get", list, "--server", url], { store: ours });
    await rm(ours, { recursive: true });
    assert.equal((await psync(["get", list], { store: ours })).status, 2);
  });

  it("KEEP-2: blocks that are there are not fetched again; --force fetches them", async (t) => {
    const { ours, list, serve } = await fixture(t);
    const { firstLine: url } = await serve();
    const get = async (...args: string[]) =>
      JSON.parse(await psyncOk(["get", url, list, "--json", ...args], { store: ours })) as {
        readonly fetchedCount: number;
        readonly presentCount: number;
      };
    assert.equal((await get()).fetchedCount, 5);
    const [name = ""] = await readdir(join(ours, "blocks"));
    await rm(join(ours, "blocks", name));
    const again = await get();
    assert.deepEqual([again.fetchedCount, again.presentCount], [1, 4]);
    assert.equal((await get("--force")).fetchedCount, 5);
    // A cached block becomes a kept one without the network.
    await rm(join(ours, "index.db"));
    const { rename } = await import("node:fs/promises");
    await rename(join(ours, "blocks", name), join(ours, "cache", name));
    assert.equal((await get()).fetchedCount, 0);
    assert.ok((await readdir(join(ours, "blocks"))).includes(name));
  });

  it("KEEP-2: many small blocks are fetched at once, without a word but the summary", async (t) => {
    const { folder, ours, theirs, serve } = await fixture(t);
    const { firstLine: url } = await serve();
    const input = seededBytes("many", MIB);
    const args = ["export", "--block-size", "16KiB", "-o", join(folder, "many.hashlist")];
    await psyncOk(args, { store: theirs, input });
    const list = join(folder, "many.hashlist");
    const { status, stderr } = await psync(["get", url, list], { store: ours });
    assert.equal(status, 0);
    assert.equal(stderr, "psync: 64 blocks: 0 there already, 64 fetched (1MiB), 0 missing\n");
    assert.deepEqual((await psync(["glue", list], { store: ours })).stdout, input);
  });

  it("KEEP-2, CLI-2: blocks that cannot be had are status 4 with a table; what came is kept", async (t) => {
    const { bytes, ours, theirs, list, serve } = await fixture(t);
    const { firstLine: url } = await serve();
    const lost = sha256(bytes.subarray(2 * MIB, 4 * MIB));
    await rm(join(theirs, "blocks", lost));
    const { status, stderr } = await psync(["get", url, list], { store: ours });
    assert.equal(status, 4);
    assert.match(stderr, /1 of 5 blocks could not be had/);
    assert.match(stderr, new RegExp(`block 2: ${lost}\\n\\s+${url}: 404`));
    assert.equal((await readdir(join(ours, "blocks"))).length, 4);
    const info = JSON.parse(await psyncOk(["info", "--json", list], { store: ours })) as [
      { readonly keptCount: number; readonly missingCount: number },
    ];
    assert.deepEqual([info[0].keptCount, info[0].missingCount], [4, 1]);
  });

  it("FETCH-1: a list resolves over several servers as long as every block is somewhere", async (t) => {
    const { bytes, ours, theirs, list } = await fixture(t);
    const blocks: VerifiedBlock[] = [];
    for (const name of await readdir(join(theirs, "blocks"))) {
      blocks.push(blockOf(await readFile(join(theirs, "blocks", name))));
    }
    const half = (odd: number) => blocks.filter((_block, index) => index % 2 === odd);
    const servers = await Promise.all([
      startFaultyServer({ seed: 1, blocks, fault: "flippedBit" }),
      startFaultyServer({ seed: 2, blocks: half(0), fault: "none" }),
      startFaultyServer({ seed: 3, blocks: half(1), fault: "none" }),
    ]);
    cleanUp(t, () => Promise.all(servers.map((server) => server.close())));
    await psyncOk(["get", ...servers.map(({ url }) => url), list], { store: ours });
    assert.deepEqual((await psync(["glue", list], { store: ours })).stdout, bytes);
  });

  it("GLUE-1: a file is whole or not there", async (t) => {
    const { folder, bytes, theirs: store, list } = await fixture(t);
    const out = join(folder, "glued");
    await psyncOk(["glue", list, "-o", out], { store });
    assert.deepEqual(await readFile(out), bytes);
    await rm(out);
    const last = sha256(bytes.subarray(8 * MIB));
    await rm(join(store, "blocks", last));
    const missing = await psync(["glue", list, "-o", out], { store });
    assert.equal(missing.status, 4);
    const onStdout = await psync(["glue", list], { store });
    assert.equal(onStdout.status, 4);
    assert.equal(onStdout.stdout.length, 0);
    assert.deepEqual((await readdir(folder)).sort(), ["data", "data.hashlist", "theirs"]);
  });

  it("VERIFY-1, VERIFY-2: a damaged block is never given out; it is set aside, told, and fetched again by get", async (t) => {
    const { folder, bytes, ours, theirs, list, serve } = await fixture(t);
    const { firstLine: url } = await serve();
    await psyncOk(["get", url, list], { store: ours });
    const hash = sha256(bytes.subarray(4 * MIB, 6 * MIB));
    const path = join(ours, "blocks", hash);
    const damaged = await readFile(path);
    damaged.writeUInt8(damaged.readUInt8(1000) ^ 1, 1000);
    await writeFile(path, damaged);
    const glued = await psync(["glue", list, "-o", join(folder, "out")], { store: ours });
    assert.equal(glued.status, 5);
    assert.match(glued.stderr, new RegExp(hash));
    assert.equal((await readdir(join(ours, "quarantine"))).length, 1);
    assert.equal((await psync(["cat", hash], { store: ours })).status, 4);
    await psyncOk(["get", url, list], { store: ours });
    assert.deepEqual((await psync(["glue", list], { store: ours })).stdout, bytes);
    assert.equal((await psync(["cat", hash], { store: theirs })).stdout.length, 2 * MIB);
  });

  it("LIST-3: a bad hashlist is status 3 with file, line and column, whatever the command", async (t) => {
    const { folder, bytes, theirs: store, list } = await fixture(t);
    const good = await readFile(list, "utf8");
    const path = join(folder, "bad.hashlist");
    const cases: readonly (readonly [string | Buffer, string])[] = [
      [`\ufeff${good}`, "1:1"],
      [good.replace("\n", "\0\n"), "1:65"],
      [bytes.subarray(0, 1000), "1:"],
      [good.slice(1), "1:64"],
      [` ${good}`, "1:1"],
      [`# a comment\n${good}`, "1:1"],
      [`${good}\nsize: 3\n`, "7:7"],
    ];
    for (const [text, place] of cases) {
      await writeFile(path, text);
      for (const command of [
        ["info", path],
        ["glue", path],
        ["get", "http://127.0.0.1:1", path],
      ]) {
        const { status, stderr } = await psync(command, { store });
        assert.equal(status, 3, stderr);
        assert.ok(stderr.includes(`${path}:${place}`), `${place}: ${stderr}`);
      }
    }
    const fromStdin = await psync(["glue"], { store, input: "junk" });
    assert.equal(fromStdin.status, 3);
    assert.match(fromStdin.stderr, /stdin:1:1/);
  });

  it("CLI-2: a writer whose reader has gone ends quietly", async (t) => {
    const { theirs: store, list } = await fixture(t);
    const command = `node "$PSYNC" glue "$LIST" | head -c 10 | wc -c; echo "\${PIPESTATUS[0]}"`;
    const { PSYNC } = await import("../support/cli.js");
    const env = { ...process.env, PSYNC, LIST: list, PSYNC_STORE: store };
    const { stdout, stderr } = await promisify(execFile)("bash", ["-c", command], { env });
    assert.equal(stdout, "10\n141\n");
    assert.equal(stderr, "");
  });

  it("CLI-2: mistakes on the command line are status 2, and every command has help with an example", async (t) => {
    const store = join(await tempFolder(t), "store");
    for (const args of [
      [],
      ["frobnicate"],
      ["cat"],
      ["cat", "abc"],
      ["info", "--frobnicate", "x"],
      ["get", "ftp://x/", "--server", "gopher://y"],
      ["serve", "localhost:99999"],
    ]) {
      const { status, stderr } = await psync(args, { store });
      assert.equal(status, 2, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, /^psync: .+\nhint: .+\n$/);
    }
    const names = "export mount umount serve get glue cat info servers doctor".split(" ");
    for (const name of names) {
      const help = await psyncOk([name, "--help"], { store });
      assert.match(help, new RegExp(`Examples:\\n +psync ${name}`), name);
    }
    assert.match(await psyncOk(["--version"], { store }), /^\d+\.\d+\.\d+\n$/);
  });

  it("CLI-2: doctor names what is there and what is not, and a store that cannot be used is status 7", async (t) => {
    const folder = await tempFolder(t);
    const { stdout } = await psync(["doctor", "--json", "--server", "http://127.0.0.1:1"], {
      store: join(folder, "store"),
    });
    const checks = JSON.parse(stdout.toString()) as {
      name: string;
      status: string;
      found: string;
    }[];
    const statusOf = (name: string) => checks.find((check) => check.name === name)?.status;
    assert.equal(statusOf("Node"), "ok");
    assert.equal(statusOf("better-sqlite3"), "ok");
    assert.equal(statusOf("store"), "ok");
    assert.equal(statusOf("http://127.0.0.1:1"), "warn");
    await writeFile(join(folder, "file"), "");
    const { status } = await psync(["export"], { store: join(folder, "file"), input: "x" });
    assert.equal(status, 7);
  });
});

describe("a store shared by processes", () => {
  it("STORE-1: exports, gets and a server work on one store at once", async (t) => {
    const { folder, bytes, ours, list, serve } = await fixture(t);
    const { firstLine: url } = await serve();
    const ourServer = await startPsync(["serve", "localhost:0"], { store: ours });
    cleanUp(t, () => ourServer.stop());
    const other = seededBytes("other", 7 * MIB);
    const [exported] = await Promise.all([
      psyncOk(["export"], { store: ours, input: other }),
      psyncOk(["get", url, list], { store: ours }),
      psyncOk(["get", "--force", url, list], { store: ours }),
      psyncOk(["export"], { store: ours, input: bytes }),
    ]);
    const otherList = join(folder, "other.hashlist");
    await writeFile(otherList, exported);
    const third = join(folder, "third");
    await psyncOk(["get", ourServer.firstLine, list, otherList], { store: third });
    assert.deepEqual((await psync(["glue", list], { store: third })).stdout, bytes);
    assert.deepEqual((await psync(["glue", otherList], { store: third })).stdout, other);
  });
});

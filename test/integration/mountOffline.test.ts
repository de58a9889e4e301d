import { strict as assert } from "node:assert";
import { mkdir, open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { seededBytes } from "../support/blocks.js";
import { psync } from "../support/cli.js";
import { listsFixture } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";

const MIB = 1024 * 1024;

describe("a mount that is offline", { skip: skipReason() }, () => {
  it("OFFLINE-1: asks no server that is configured, and says which block is missing", async (t) => {
    const { add, serve, mount, store, blocks } = await listsFixture(t);
    const bytes = seededBytes("offline", 5 * MIB);
    await add("file", bytes);
    const server = await serve();
    const [first, second] = blocks;
    assert.ok(first && second);
    await mkdir(join(store, "blocks"), { recursive: true });
    await writeFile(join(store, "blocks", first.hash), first.bytes);
    await writeFile(join(store, "config.json"), JSON.stringify({ servers: [server.url] }));
    const { folder, process } = await mount([], { args: ["--offline"] });
    const file = await open(join(folder, "file"));
    try {
      const piece = Buffer.alloc(MIB);
      await file.read(piece, 0, MIB, 0);
      assert.deepEqual(piece, bytes.subarray(0, MIB));
      await assert.rejects(file.read(piece, 0, MIB, 2 * MIB), { code: "EIO" });
    } finally {
      await file.close();
    }
    assert.equal(server.requestCount(), 0);
    assert.match(
      process.stderr(),
      new RegExp(`block ${second.hash} is not in the store, and --offline asks no server`),
    );
  });

  it("OFFLINE-1: --offline beside --server is status 2", async (t) => {
    const { lists, mountpoint, store } = await listsFixture(t);
    const args = ["mount", lists, mountpoint, "--offline", "--server", "http://127.0.0.1:1"];
    const { status, stderr } = await psync(args, { store });
    assert.equal(status, 2);
    assert.match(stderr, /hint: leave one of the two out/);
  });

  it("STORE-3: --min-free leaves so much of the disk free that nothing is cached", async (t) => {
    const { add, serve, mount, store } = await listsFixture(t);
    const bytes = seededBytes("free", 3 * MIB);
    await add("file", bytes);
    const server = await serve();
    const { folder, process } = await mount([server.url], { args: ["--min-free", "100%"] });
    assert.deepEqual(await readFile(join(folder, "file")), bytes);
    assert.equal(await process.stop(), 0);
    assert.deepEqual(await readdir(join(store, "cache")), []);
  });
});

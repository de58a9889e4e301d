/** A store on a disk that is mounted read-only: what only reads goes on, what keeps says why it cannot. */
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { seededBytes } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { psync, psyncOk, startPsync } from "../support/cli.js";
import { listsFixture } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { isRoot } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const run = promisify(execFile);
const MIB = 1024 * 1024;

/** Shows a folder at another path, where nothing can be written, until the test ends. */
async function showReadOnly(t: CleanUpContext, folder: string, at: string): Promise<string> {
  await mkdir(at);
  await run("mount", ["--bind", folder, at]);
  cleanUp(t, () => run("umount", [at]));
  await run("mount", ["-o", "remount,bind,ro", at]);
  return at;
}

async function exported(t: CleanUpContext) {
  const folder = await tempFolder(t);
  const bytes = seededBytes("read only", 3 * MIB);
  const written = join(folder, "written");
  const list = join(folder, "list");
  const hashes = await psyncOk(["export"], { store: written, input: bytes });
  await writeFile(list, hashes);
  const store = await showReadOnly(t, written, join(folder, "store"));
  return { bytes, list, store, firstHash: hashes.slice(0, 64) };
}

describe("STORE-4: a read-only disk", { skip: isRoot ? false : "needs root, to bind" }, () => {
  it("cat, glue and info read from it, and say nothing of it", async (t) => {
    const { bytes, list, store, firstHash } = await exported(t);
    const cat = await psync(["cat", firstHash], { store });
    assert.deepEqual(cat.stdout, Buffer.from(bytes.subarray(0, 2 * MIB)));
    const glue = await psync(["glue", list], { store });
    assert.deepEqual(glue.stdout, Buffer.from(bytes));
    const info = await psync(["info", list], { store });
    assert.match(info.stdout.toString(), /kept +2\n/);
    for (const { status, stderr } of [cat, glue, info]) {
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stderr, /read-only/);
    }
    const loud = await psync(["cat", firstHash, "--verbose"], { store });
    assert.match(loud.stderr, /the store is only read: .*EROFS/);
  });

  it("doctor warns of it", async (t) => {
    const { store } = await exported(t);
    const { stdout } = await psync(["doctor"], { store });
    assert.match(stdout.toString(), /^warn +store .*EROFS.*export, get/m);
  });

  it("serve serves it", async (t) => {
    const { bytes, store, firstHash } = await exported(t);
    const server = await startPsync(["serve", "localhost:0"], { store });
    cleanUp(t, () => server.stop());
    const answer = await fetch(new URL(firstHash, `${server.firstLine.trim()}/`));
    assert.deepEqual(
      Buffer.from(await answer.arrayBuffer()),
      Buffer.from(bytes.subarray(0, 2 * MIB)),
    );
  });

  it("export and get fail with status 7 and the reason", async (t) => {
    const { list, store } = await exported(t);
    for (const args of [["export"], ["get", "http://127.0.0.1:1", list]]) {
      const { status, stderr } = await psync(args, { store, input: "x" });
      assert.equal(status, 7, stderr);
      assert.match(stderr, /mounted read-only \(EROFS\)/);
    }
  });

  it(
    "a mount warns once, and reads from it, from servers and from memory",
    { skip: skipReason() },
    async (t) => {
      const { folder, lists, mountpoint, add, mount, serve } = await listsFixture(t);
      const bytes = seededBytes("mounted", 3 * MIB);
      await add("file", bytes);
      const written = join(folder, "written");
      await psyncOk(["export"], { store: written, input: bytes.subarray(0, 2 * MIB) });
      const store = await showReadOnly(t, written, join(folder, "store"));
      const before = await readdir(store, { recursive: true });
      const { url } = await serve();
      await mkdir(mountpoint);
      const daemon = await psync(["mount", lists, mountpoint, "--daemon"], { store });
      assert.equal(daemon.status, 7);
      assert.match(daemon.stderr, /cannot write the log .*\n.*hint: mount without --daemon/);
      const { folder: mounted, process } = await mount([url]);
      for (let time = 0; time < 2; time += 1) {
        assert.deepEqual(await readFile(join(mounted, "file")), Buffer.from(bytes));
      }
      assert.equal(await process.stop(), 0);
      assert.deepEqual(await readdir(store, { recursive: true }), before);
      const warnings = process.stderr().match(/nothing is cached/g);
      assert.equal(warnings?.length, 1, process.stderr());
      assert.doesNotMatch(process.stderr(), /is not cached/);
    },
  );
});

describe("a store that is not there", () => {
  it("has no blocks for cat, glue and info, which do not make it", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const hash = "0".repeat(64);
    const input = `${hash}\n`;
    assert.equal((await psync(["cat", hash], { store })).status, 4);
    assert.equal((await psync(["glue"], { store, input })).status, 4);
    const info = await psync(["info", "-"], { store, input });
    assert.equal(info.status, 0);
    assert.match(info.stdout.toString(), /missing +1\n/);
    assert.deepEqual(await readdir(folder), []);
  });
});

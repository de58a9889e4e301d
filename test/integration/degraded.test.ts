/** What a mount, an export and a get do while the disk of their store is full, fails, or has no more files. */
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { seededBytes } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { psync, psyncOk, PSYNC } from "../support/cli.js";
import { listsFixture, mountCli } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { mountSmallDisk, noSmallDisk } from "../support/smallDisk.js";
import { hasStrace } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const run = promisify(execFile);
const MIB = 1024 * 1024;
const FEW_FILES = fileURLToPath(new URL("../support/fewFiles.js", import.meta.url));
const noMount = noSmallDisk === false ? skipReason() : noSmallDisk;

const filesIn = (store: string, folder: string): Promise<string[]> => readdir(join(store, folder));

describe("a mount whose disk is full", { skip: noMount }, () => {
  it("DISK-1: goes on, says so once, and caches again when there is room", async (t) => {
    const disk = await mountSmallDisk(t, "size=24m");
    const { lists, mountpoint, add, serve } = await listsFixture(t);
    const bytes = [0, 1, 2].map((number) => seededBytes(`full disk ${number}`, 6 * MIB));
    for (const [number, each] of bytes.entries()) await add(`file ${number}`, each);
    const { url } = await serve();
    const { store } = disk;
    const { folder, process } = await mountCli(t, { lists, store, mountpoint, servers: [url] });
    const readRight = async (number: number): Promise<void> => {
      assert.deepEqual(
        await readFile(join(folder, `file ${number}`)),
        Buffer.from(bytes[number] ?? []),
      );
    };
    await readRight(0);
    await until(
      "what was read is cached",
      async () => (await filesIn(store, "cache")).length === 3,
    );
    await disk.fill();
    await readRight(1);
    await until("it was said", () => process.stderr().includes("nothing is cached"));
    await readRight(0);
    await disk.free();
    await readRight(2);
    await until("it is over", () => process.stderr().includes("blocks are cached again"));
    assert.equal(process.stderr().match(/nothing is cached/g)?.length, 1, process.stderr());
    assert.equal(await process.stop(), 0);
    assert.ok((await filesIn(store, "cache")).length > 0);
    assert.deepEqual(await filesIn(store, "tmp"), []);
  });
});

/** Mounts a file as an ext4 disk, which can be made to fail. @returns its folder, or undefined without loop devices */
async function mountFailingDisk(t: CleanUpContext) {
  const folder = await tempFolder(t);
  const image = join(folder, "image");
  const path = join(folder, "disk");
  await mkdir(path);
  try {
    await run("truncate", ["--size=64M", image]);
    await run("mkfs.ext4", ["-q", image]);
    await run("mount", ["-o", "loop,errors=remount-ro", image, path]);
  } catch {
    return undefined;
  }
  cleanUp(t, () => run("umount", ["--lazy", path]));
  const { stdout } = await run("findmnt", ["--noheadings", "--output", "SOURCE", path]);
  const trigger = `/sys/fs/ext4/${basename(stdout.trim())}/trigger_fs_error`;
  // The kernel takes any text for the reason.
  return { store: join(path, "store"), fail: () => writeFile(trigger, "psync-test") };
}

describe("a mount whose disk turns read-only after an error", { skip: noMount }, () => {
  it("DISK-1: reads on, from the store, from memory and from servers", async (t) => {
    const disk = await mountFailingDisk(t);
    if (disk === undefined) {
      t.skip("needs loop devices and mkfs.ext4");
      return;
    }
    const { store } = disk;
    const { lists, mountpoint, add, serve } = await listsFixture(t);
    const bytes = [0, 1].map((number) => seededBytes(`failing disk ${number}`, 6 * MIB));
    for (const [number, each] of bytes.entries()) await add(`file ${number}`, each);
    await psyncOk(["export"], { store, input: bytes[0] ?? "" });
    const { url } = await serve();
    const { folder, process } = await mountCli(t, { lists, store, mountpoint, servers: [url] });
    await disk.fail();
    for (const [number, each] of [...bytes, ...bytes].entries()) {
      assert.deepEqual(await readFile(join(folder, `file ${number % 2}`)), Buffer.from(each));
    }
    await until("it was said", () => /nothing is cached.*\(EROFS\)/.test(process.stderr()));
    assert.equal(await process.stop(), 0);
    const { status, stderr } = await psync(["export"], { store, input: bytes[1] ?? "" });
    assert.equal(status, 7, stderr);
    assert.match(stderr, /\(EROFS\)\n.*hint: /);
  });
});

describe("DISK-2: on a full disk", { skip: noSmallDisk }, () => {
  it("export fails with status 7, what is free and what to do; what it printed is there", async (t) => {
    const disk = await mountSmallDisk(t);
    const { store } = disk;
    const input = seededBytes("too large", 20 * MIB);
    const { status, stdout, stderr } = await psync(["export"], { store, input });
    assert.equal(status, 7, stderr);
    assert.match(
      stderr,
      /no space is left on the disk \(ENOSPC\): .* of 8MiB are free\n.*hint: free space/,
    );
    assert.deepEqual(await filesIn(store, "tmp"), []);
    await disk.free();
    for (const hash of stdout.toString().split("\n").filter(Boolean)) {
      assert.equal((await psync(["cat", hash], { store })).stdout.length, 2 * MIB);
    }
  });

  it("get fails the same way, and goes on from there", async (t) => {
    const disk = await mountSmallDisk(t, "size=24m");
    const { store } = disk;
    const { lists, add, serve } = await listsFixture(t);
    await add("file", seededBytes("got", 12 * MIB));
    const { url } = await serve();
    const get = ["get", url, join(lists, "file.hashlist")];
    await psyncOk(["export"], { store, input: "makes the store" });
    await disk.fill(5 * MIB);
    const { status, stderr } = await psync(get, { store });
    assert.equal(status, 7, stderr);
    assert.match(stderr, /no space is left on the disk \(ENOSPC\)/);
    assert.deepEqual(await filesIn(store, "tmp"), []);
    await disk.free();
    const again = await psync(get, { store });
    assert.equal(again.status, 0, again.stderr);
    assert.match(again.stderr, /6 blocks: [12] there already/);
  });
});

describe("a write that fails", { skip: hasStrace ? false : "there is no strace" }, () => {
  for (const [code, said] of [
    ["EDQUOT", /the disk quota of this user is used up \(EDQUOT\)\n.*hint: see `quota -s`/],
    ["EIO", /the disk reports an error \(EIO\)\n.*hint: look at dmesg/],
  ] as const) {
    it(`DISK-2: with ${code} ends an export with status 7, and nothing lies about`, async (t) => {
      const folder = await tempFolder(t);
      const store = join(folder, "store");
      const file = join(folder, "file");
      await writeFile(file, seededBytes(code, 5 * MIB));
      const inject = [
        "-f",
        "-qq",
        "-o",
        join(folder, "trace"),
        "-e",
        `inject=pwrite64:error=${code}`,
      ];
      const child = run("strace", [
        ...inject,
        process.execPath,
        PSYNC,
        "--store",
        store,
        "export",
        file,
      ]);
      const failure = await child.then(
        () => assert.fail("it succeeded"),
        (error: unknown) => error as { readonly code: number; readonly stderr: string },
      );
      assert.equal(failure.code, 7, failure.stderr);
      assert.match(failure.stderr, said);
      assert.deepEqual(await filesIn(store, "tmp"), []);
      assert.deepEqual(await filesIn(store, "blocks"), []);
    });
  }
});

it("DISK-1: a process that has too many files open reads on, says which limit, and caches again", async (t) => {
  const store = join(await tempFolder(t), "store");
  const command = `ulimit -n 64; exec "$0" "$1" "$2"`;
  const { stdout } = await run("bash", ["-c", command, process.execPath, FEW_FILES, store]);
  assert.match(stdout, /^warn the store could not be read, .*\(EMFILE\)/m);
  assert.match(
    stdout,
    /^warn nothing is cached, .*too many files open \(EMFILE\): its limit is 64 \(raise/m,
  );
  assert.equal(stdout.match(/^warn/gm)?.length, 3, stdout);
  assert.match(stdout, /^keep: cannot .*\(EMFILE\): its limit is 64$/m);
  assert.match(stdout, /^info blocks are cached again; 18 blocks were not cached$/m);
  assert.match(stdout, /^found: 20$/m);
  assert.deepEqual(await filesIn(store, "tmp"), []);
  assert.equal((await stat(join(store, "blocks"))).mode & 0o777, 0o700);
});

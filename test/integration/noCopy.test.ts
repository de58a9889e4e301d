/** `export --no-copy` as a user has it: one copy of the bytes, and everything that reads the store reads them there. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import {
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { cleanUp } from "../support/cleanUp.js";
import { seededBytes } from "../support/blocks.js";
import { PSYNC, psync, psyncOk, startPsync } from "../support/cli.js";
import { mountCli } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { writeSeed } from "../support/seeds.js";
import { hasStrace } from "../support/storeFixtures.js";
import { straced } from "../support/straced.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

/** A file of five blocks, exported in place. */
async function fixture(t: TestContext) {
  const folder = await tempFolder(t);
  const [file, lists, store] = ["data", "lists", "store"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const bytes = seededBytes("in place", 9 * MIB + 17);
  await writeSeed(file, bytes);
  await mkdir(lists);
  await psyncOk(["export", "--no-copy", file, "-o", lists], { store });
  const list = join(lists, "data.hashlist");
  const hashes = (await readFile(list, "utf8")).split("\n").slice(0, 5);
  const serve = async () => {
    const server = await startPsync(["serve", "localhost:0"], { store });
    cleanUp(t, () => server.stop());
    return server.firstLine;
  };
  const loseIndex = async (): Promise<void> => {
    for (const suffix of ["", "-wal", "-shm"]) {
      await rm(join(store, `index.db${suffix}`), { force: true });
    }
  };
  const glue = async (): Promise<Buffer> => (await psync(["glue", list], { store })).stdout;
  const info = async () => {
    const [read] = JSON.parse(await psyncOk(["info", "--json", list], { store })) as Record<
      string,
      unknown
    >[];
    const { seedCount, missingCount, lostSeeds } = read ?? {};
    return { seedCount, missingCount, lostSeeds };
  };
  return { folder, file, bytes, lists, list, store, hashes, serve, loseIndex, glue, info };
}

describe("export --no-copy", () => {
  it("NOCOPY-1: copies nothing, and glue, cat, info and get have all of it", async (t) => {
    const { folder, file, bytes, store, list, hashes, serve, glue, info } = await fixture(t);
    assert.deepEqual(await readdir(join(store, "blocks")), []);
    assert.deepEqual(await glue(), bytes);
    for (const [i, hash] of hashes.entries()) {
      const { stdout } = await psync(["cat", hash], { store });
      assert.deepEqual(stdout, bytes.subarray(i * 2 * MIB, (i + 1) * 2 * MIB));
    }
    assert.deepEqual(await info(), { seedCount: 5, missingCount: 0, lostSeeds: [] });
    const theirs = join(folder, "theirs");
    await psyncOk(["get", await serve(), list], { store: theirs });
    assert.deepEqual((await psync(["glue", list], { store: theirs })).stdout, bytes);
    assert.deepEqual(await readdir(join(store, "blocks")), []);
    assert.deepEqual(await readFile(file), bytes);
  });

  it("NOCOPY-1: the list is the same as with copies, also on stdout, where it comes after the whole file", async (t) => {
    const { folder, file, list } = await fixture(t);
    const store = join(folder, "another");
    const lines = await psyncOk(["export", "--no-copy", "--trailer", file], { store });
    assert.equal(lines, await readFile(list, "utf8"));
    assert.deepEqual(await readdir(join(store, "blocks")), []);
    assert.equal(await psyncOk(["export", "--trailer", file], { store }), lines);
    assert.equal((await readdir(join(store, "blocks"))).length, 5);
    // Exported once more, it stands in the list of seeds once.
    await psyncOk(["export", "--no-copy", file], { store });
    assert.equal((await readFile(join(store, "seeds"), "utf8")).match(/\{/g)?.length, 1);
  });

  it("NOCOPY-1: a folder of files, with any names and by a symlink", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const names = ["a", "deep/b\nc", "deep/ü 🙂", "empty"];
    for (const name of names) {
      await writeSeed(join(folder, "files", name), seededBytes(name, name === "empty" ? 0 : 3000));
    }
    await symlink("files", join(folder, "link"));
    const lists = join(folder, "lists");
    await psyncOk(["export", "--no-copy", join(folder, "link"), "-o", lists], { store });
    for (const name of names) {
      const { stdout } = await psync(["glue", join(lists, `${name}.hashlist`)], { store });
      assert.deepEqual(stdout, await readFile(join(folder, "files", name)), name);
    }
    assert.deepEqual(await readdir(join(store, "blocks")), []);
  });

  it("NOCOPY-1: pipes in a folder are skipped", async (t) => {
    const folder = await tempFolder(t);
    const files = join(folder, "files");
    await writeSeed(join(files, "a"), seededBytes("a", 100));
    execFileSync("mkfifo", [join(files, "pipe")]);
    const store = join(folder, "store");
    const args = ["export", "--no-copy", files, "-o", join(folder, "lists")];
    assert.match((await psync(args, { store })).stderr, /1 file .*1 skipped/);
  });

  it("NOCOPY-1: stdin and what is no file are refused, and so are paths that are not text", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const piped = await psync(["export", "--no-copy"], { store, input: "bytes" });
    assert.deepEqual([piped.status, piped.stdout.length], [2, 0]);
    assert.match(piped.stderr, /--no-copy is for files/);
    const device = await psync(["export", "--no-copy", "/dev/null"], { store });
    assert.equal(device.status, 2);
    assert.match(device.stderr, /cannot stay in it: it is not an ordinary file/);
    const odd = Buffer.concat([Buffer.from(join(folder, "odd-")), Buffer.from([0xff])]);
    await writeFile(odd, "bytes");
    await symlink(odd, join(folder, "link"));
    const named = await psync(["export", "--no-copy", join(folder, "link")], { store });
    assert.deepEqual([named.status, named.stdout.length], [2, 0]);
    assert.match(named.stderr, /its path is not UTF-8/);
  });

  it("NOCOPY-1: a file that is cut, changed or gone lacks its blocks, which info and fsck say, and has them again when it is back", async (t) => {
    const { file, bytes, list, store, glue, info, hashes } = await fixture(t);
    const lost = (state: string) => ({
      seedCount: 0,
      missingCount: 5,
      lostSeeds: [{ path: file, state }],
    });
    await truncate(file, 5 * MIB);
    assert.deepEqual(await info(), lost("changed"));
    await rename(file, `${file}.away`);
    assert.deepEqual(await info(), lost("gone"));
    assert.match(
      await psyncOk(["info", list], { store }),
      /missing, perhaps +exported without a copy, and gone since: .*data\n/,
    );
    for (const repair of [[], ["--repair"]]) {
      const report = await psyncOk(["fsck", ...repair], { store });
      assert.match(report, /exported without a copy, and gone since: .*data\n/);
    }
    const { status, stdout } = await psync(["glue", list], { store });
    assert.deepEqual([status, stdout.length], [4, 0]);
    const other = Buffer.from(bytes);
    other.writeUInt8(other.readUInt8(3 * MIB) ^ 1, 3 * MIB);
    // With size and mtime as they were: only the bytes tell.
    await writeSeed(file, other);
    assert.equal((await psync(["cat", hashes[1] ?? ""], { store })).status, 4);
    assert.equal((await psync(["cat", hashes[0] ?? ""], { store })).status, 0);
    await writeSeed(file, bytes, 2000);
    assert.deepEqual(await glue(), bytes);
  });

  it("NOCOPY-1: a file that changes while it is read becomes no list and no seed", async (t) => {
    const folder = await tempFolder(t);
    const [file, store] = [join(folder, "grows"), join(folder, "store")];
    await writeSeed(file, Buffer.alloc(64 * MIB));
    const exporting = psync(["export", "--no-copy", file], { store });
    let isOver = false;
    void exporting.finally(() => (isOver = true));
    let second = 1;
    await until("the export is over", async () => {
      second += 1;
      await utimes(file, second, second);
      return isOver;
    });
    const { status, stdout } = await exporting;
    assert.deepEqual([status, stdout.length], [1, 0]);
    assert.ok(!(await readdir(store)).includes("seeds"));
  });

  it("NOCOPY-2: with the index deleted, glue and cat hash at once, and a server hashes behind", async (t) => {
    const { folder, bytes, store, list, loseIndex, glue, hashes, serve, info } = await fixture(t);
    await loseIndex();
    assert.deepEqual((await info()).missingCount, 5);
    assert.deepEqual(await glue(), bytes);
    await loseIndex();
    assert.equal((await psync(["cat", hashes[4] ?? ""], { store })).status, 0);
    await loseIndex();
    const url = await serve();
    const theirs = join(folder, "theirs");
    await until("the server has the last block", async () => {
      return (await fetch(new URL(hashes[4] ?? "", url))).status === 200;
    });
    await psyncOk(["get", url, list], { store: theirs });
    assert.deepEqual((await psync(["glue", list], { store: theirs })).stdout, bytes);
  });

  it(
    "KEEP-1, NOCOPY-1: no line is written before the file stands in the list of seeds, synced",
    {
      skip: hasStrace ? false : "there is no strace",
    },
    async (t) => {
      const { folder, file } = await fixture(t);
      const store = join(folder, "traced");
      const names = ["fdatasync", "fsync", "write", "writev", "pwrite64", "rename"];
      const list = join(folder, "traced.hashlist");
      const { calls } = await straced(folder, names, [
        process.execPath,
        ...[PSYNC, "--store", store, "export", "--no-copy", file, "-o", list],
      ]);
      const find = (name: RegExp, text: string) => {
        const call = calls.find((each) => name.test(each.name) && each.args.includes(text));
        assert.ok(call, `no ${String(name)} of ${text}`);
        return call;
      };
      const order = [
        find(/write/, `<${join(store, "seeds")}>`),
        find(/fdatasync/, `<${join(store, "seeds")}>`),
        calls.findLast(({ name, args }) => name === "fsync" && args.includes(`<${store}>`)),
        find(/rename/, `"${list}"`),
      ];
      for (const [i, call] of order.entries()) {
        assert.ok(call);
        const before = order[i - 1];
        if (before) assert.ok(before.end < call.begin, `${before.name}, then ${call.name}`);
      }
    },
  );
});

describe("a mount of what was exported in place", { skip: skipReason() }, () => {
  it("NOCOPY-2: reads it from the files, also after the index was deleted", async (t) => {
    const { folder, bytes, lists, store, loseIndex } = await fixture(t);
    await loseIndex();
    const mounted = await mountCli(t, { lists, store, mountpoint: join(folder, "mnt") });
    const file = join(mounted.folder, "data");
    await until("the file can be read", () =>
      readFile(file).then(
        (read) => read.equals(bytes),
        () => false,
      ),
    );
    assert.deepEqual(await readdir(join(store, "cache")), []);
  });

  it("NOCOPY-1: what a mount shows cannot be exported in place", async (t) => {
    const { folder, lists, store } = await fixture(t);
    const mounted = await mountCli(t, { lists, store, mountpoint: join(folder, "mnt") });
    const args = ["export", "--no-copy", join(mounted.folder, "data")];
    const { status, stderr } = await psync(args, { store });
    assert.equal(status, 2);
    assert.match(stderr, /it lies in a mount of psync/);
  });
});

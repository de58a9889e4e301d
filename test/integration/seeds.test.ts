/** Seeds as a user has them: `get --seed`, `mount --seed`, `seeds` of config.json. */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { mkdir, open, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import Database from "better-sqlite3";
import { systemErrorCode } from "../../src/core/errors.js";
import { seededBytes } from "../support/blocks.js";
import { psync, psyncOk } from "../support/cli.js";
import { listOf } from "../support/lists.js";
import { listsFixture } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { writeSeed } from "../support/seeds.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

/** A file of five blocks and an older version of it, of which one block differs; the new one's blocks are for a server. */
async function versions(t: Parameters<typeof listsFixture>[0]) {
  const fixture = await listsFixture(t);
  const bytes = seededBytes("version", 9 * MIB + 17);
  const old = Buffer.from(bytes);
  old.writeUInt8(old.readUInt8(3 * MIB) ^ 1, 3 * MIB);
  await fixture.add("data", bytes);
  const list = join(fixture.lists, "data.hashlist");
  const seed = join(fixture.folder, "old", "data");
  await writeSeed(seed, old);
  return { ...fixture, bytes, list, seed };
}

async function totalsOf(args: readonly string[], store: string) {
  const out = JSON.parse(await psyncOk(["get", "--json", ...args], { store })) as unknown;
  const { presentCount, seedCount, fetchedCount } = out as Record<string, number>;
  return { presentCount, seedCount, fetchedCount };
}

describe("get with seeds", () => {
  it("SEED-1: fetches only what differs, and keeps all of it", async (t) => {
    const { store, serve, list, seed, bytes } = await versions(t);
    const server = await serve();
    const totals = await totalsOf(["--seed", seed, server.url, list], store);
    assert.deepEqual(totals, { presentCount: 0, seedCount: 4, fetchedCount: 1 });
    assert.equal(server.requestCount(), 1);
    await rm(seed);
    assert.equal((await readdir(join(store, "blocks"))).length, 5);
    const { stdout } = await psync(["glue", list], { store });
    assert.deepEqual(stdout, bytes);
  });

  it("SEED-1: finds blocks of the lists' own block size, in a folder of config.json, and needs no server then", async (t) => {
    const { store, folder, lists, bytes } = await versions(t);
    const { text } = await listOf(bytes, 64 * 1024);
    const list = join(lists, "small.hashlist");
    await writeFile(list, text);
    await writeSeed(join(folder, "half", "a", "unfinished"), bytes.subarray(0, 5 * MIB));
    await writeSeed(join(folder, "half", "b"), bytes.subarray(4 * MIB));
    await mkdir(store);
    await writeFile(join(store, "config.json"), JSON.stringify({ seeds: ["../half"] }));
    assert.equal((await totalsOf([list], store)).seedCount, 145);
    const { stdout } = await psync(["glue", list], { store });
    assert.deepEqual(stdout, bytes);
  });

  it("SEED-2: a seed that is not there is warned of, and its blocks are fetched", async (t) => {
    const { store, serve, list, seed } = await versions(t);
    const server = await serve();
    await rm(seed);
    const result = await psync(["get", "--seed", seed, server.url, list], { store });
    assert.equal(result.status, 0);
    assert.match(result.stderr, /no seeds are taken from .*old\/data/);
    assert.equal(server.requestCount(), 5);
  });

  it("SEED-3: a folder of loops, pipes and names that are no text is walked to its end", async (t) => {
    const { store, serve, list, seed, folder } = await versions(t);
    const old = join(folder, "old");
    await symlink(old, join(old, "loop"));
    await symlink("/", join(old, "all"));
    execFileSync("mkfifo", [join(old, "pipe")]);
    await writeFile(Buffer.concat([Buffer.from(`${old}/`), Buffer.from([0xff])]), "odd");
    await writeSeed(join(old, "new\nline"), await readFile(seed));
    await rm(seed);
    const server = await serve();
    const totals = await totalsOf(["--seed", old, server.url, list], store);
    assert.deepEqual(totals, { presentCount: 0, seedCount: 4, fetchedCount: 1 });
  });

  it("CONFIG-1: seeds that are no paths end the command with the place", async (t) => {
    const { store, list } = await versions(t);
    await mkdir(store);
    for (const [seeds, place] of [
      ["old", "seeds: not a list"],
      [["a", 7], "seeds[1]: not a path"],
      [[""], "seeds[0]: not a path"],
    ] as const) {
      await writeFile(join(store, "config.json"), JSON.stringify({ seeds }));
      const { status, stderr } = await psync(["get", "http://127.0.0.1:1", list], { store });
      assert.equal(status, 2);
      assert.ok(stderr.includes(`config.json: ${place}`), stderr);
    }
  });
});

describe("a mount with seeds", { skip: skipReason() }, () => {
  it("SEED-1: reads from them what they have, and caches no copy of it", async (t) => {
    const { store, serve, mount, seed, bytes } = await versions(t);
    const server = await serve();
    const { folder } = await mount([server.url], { args: ["--seed", seed] });
    await until("the seed is hashed", () => isIndexed(store));
    assert.deepEqual(await readFile(join(folder, "data")), bytes);
    assert.equal(server.requestCount(), 1);
    await until("the fetched block is cached", async () => {
      return (await readdir(join(store, "cache"))).length === 1;
    });
  });

  it("SEED-1: finds blocks of a list's own block size once it is read", async (t) => {
    const { store, lists, serve, mount, seed, bytes } = await versions(t);
    const { text, blocks } = await listOf(bytes, MIB);
    await writeFile(join(lists, "mib.hashlist"), text);
    const server = await serve([...blocks.values()]);
    const { folder } = await mount([server.url], { args: ["--seed", seed] });
    const file = await open(join(folder, "mib"));
    await file.read(Buffer.alloc(10), 0, 10, 0);
    await file.close();
    await until("the seed is hashed in both sizes", () => isIndexed(store, 2));
    assert.deepEqual(await readFile(join(folder, "mib")), bytes);
    assert.ok(server.requestCount() < blocks.size, `${server.requestCount()} requests`);
  });

  it("OFFLINE-1: without servers a read waits for seeds that are being hashed, and no longer", async (t) => {
    const { store, lists, mount, seed, bytes } = await versions(t);
    // Two seconds of hashing at 64 MiB a second; the file of the list comes last.
    await writeSeed(join(seed, "..", "a large one"), Buffer.alloc(128 * MIB));
    await writeSeed(seed, bytes);
    const missing = await listOf(seededBytes("nowhere", MIB));
    await writeFile(join(lists, "nowhere.hashlist"), missing.text);
    const args = ["--offline", "--seed", join(seed, "..")];
    const { folder, process } = await mount([], { args });
    const [read, failed] = await Promise.all([
      readFile(join(folder, "data")),
      readFile(join(folder, "nowhere")).catch((error: unknown) => error),
    ]);
    assert.deepEqual(read, bytes);
    assert.equal(systemErrorCode(failed), "EIO");
    assert.equal(process.stderr().match(/seeds are being hashed/g)?.length, 1, process.stderr());
    assert.deepEqual(await readdir(join(store, "cache")), []);
  });

  it("SEED-2: a seed that is cut, changed or removed under it costs requests, and no wrong byte", async (t) => {
    const { store, serve, mount, seed, bytes } = await versions(t);
    const server = await serve();
    const { folder } = await mount([server.url], { args: ["--seed", seed, "--cache-size", "0"] });
    await until("the seed is hashed", () => isIndexed(store));
    const reading = readFile(join(folder, "data"));
    await truncate(seed, 2 * MIB + 5);
    assert.deepEqual(await reading, bytes);
    await writeSeed(seed, seededBytes("something else", 9 * MIB + 17));
    const file = join(folder, "data");
    assert.deepEqual(await readFile(file), bytes);
    await rm(seed);
    assert.deepEqual(await readFile(file), bytes);
  });

  it("SEED-3: what lies under its own mountpoint is no seed of it", async (t) => {
    const { store, serve, mount, mountpoint, bytes, lists } = await versions(t);
    const server = await serve();
    await writeSeed(join(mountpoint, "data"), bytes);
    // The list has the file's mtime, and the mount will show it.
    await psyncOk(["export", "--no-copy", join(mountpoint, "data"), "-o", `${lists}/`], { store });
    await rm(join(mountpoint, "data"));
    const { folder } = await mount([server.url], { args: ["--seed", mountpoint] });
    assert.deepEqual(await readFile(join(folder, "data")), bytes);
    assert.equal(server.requestCount(), 5);
  });
});

/** Whether the index has all blocks of so many seeds. */
function isIndexed(store: string, count = 1): boolean {
  const db = new Database(join(store, "index.db"), { readonly: true });
  try {
    const row = db
      .prepare<[], { n: number }>(
        `SELECT count(*) AS n FROM seed WHERE path IS NOT NULL
         AND done_count * block_size_bytes >= size_bytes`,
      )
      .get();
    return row?.n === count;
  } finally {
    db.close();
  }
}

/** `gc`, `pin`, `unpin` and `check` as a user has them. */
import { strict as assert } from "node:assert";
import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, PSYNC, psyncOk } from "../support/cli.js";
import { startHonestServer } from "../support/honestServer.js";
import { listOf } from "../support/lists.js";
import { shell } from "../support/mountedCli.js";
import { flipBit } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import type { ListCheck } from "../../src/transfer/checkLists.js";

const KIB = 1024;
const BLOCK = 64 * KIB;

/** A store with two exported files that share two blocks, and an empty folder for a third. */
async function fixture(t: TestContext) {
  const folder = await tempFolder(t);
  const [store, lists] = [join(folder, "store"), join(folder, "lists")];
  await mkdir(lists);
  const shared = seededBytes("shared", 2 * BLOCK);
  const add = async (name: string, bytes: Uint8Array) => {
    const file = join(folder, name);
    await writeFile(file, bytes);
    const list = join(lists, `${name}.hashlist`);
    await psyncOk(["export", file, "-o", list, "--block-size", "64KiB"], { store });
    return list;
  };
  const first = await add("first", Buffer.concat([shared, seededBytes("first", 3 * BLOCK + 5)]));
  const second = await add("second", Buffer.concat([shared, seededBytes("second", BLOCK)]));
  const hashes = async (list: string) =>
    (await readFile(list, "utf8")).split("\n").filter((line) => line.length === 64);
  return { folder, store, lists, first, second, hashes, add };
}

/** Every file of a store with its length and time: what a command that changes nothing leaves as it is. */
async function snapshot(store: string): Promise<string[]> {
  const seen: string[] = [];
  for (const name of (await readdir(store, { recursive: true })).sort()) {
    const { size, mtimeMs } = await stat(join(store, name));
    seen.push(`${name} ${size} ${mtimeMs}`);
  }
  return seen;
}

const kept = (store: string) => readdir(join(store, "blocks"));

describe("gc", () => {
  it("GC-1: removes the blocks that no list names, and says first what that frees", async (t) => {
    const { store, lists, first, second, hashes } = await fixture(t);
    const needed = await hashes(second);
    await rm(first);
    const { status, stderr } = await psync(["gc", "--keep", lists, "--yes"], { store });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /1 list with 3 of the kept blocks; 4 can go, 192KiB\n/);
    assert.match(stderr, /removed 4 blocks, 192KiB freed\n/);
    assert.deepEqual((await kept(store)).sort(), needed.sort());
    await psyncOk(["check", "--offline", lists], { store });
  });

  it("GC-1: --dry-run says the same and changes nothing", async (t) => {
    const { store, lists, first } = await fixture(t);
    await rm(first);
    const before = await snapshot(store);
    const text = await psyncOk(["gc", "--keep", lists, "--dry-run", "--json"], { store });
    const { removedCount, unneededCount, unneededBytes, neededCount } = JSON.parse(text) as Record<
      string,
      number
    >;
    assert.deepEqual(
      { removedCount, unneededCount, unneededBytes, neededCount },
      { removedCount: 0, unneededCount: 4, unneededBytes: 3 * BLOCK + 5, neededCount: 3 },
    );
    assert.deepEqual(await snapshot(store), before);
  });

  it("STORE-4: gc and unpin of a store that is not there are status 7, and make none", async (t) => {
    const { folder, lists } = await fixture(t);
    const away = join(folder, "link");
    await symlink(join(folder, "unmounted"), away);
    const empty = join(folder, "empty");
    await mkdir(empty);
    const before = await readdir(folder, { recursive: true });
    for (const store of [join(folder, "none"), away, empty, join(lists, "..", "lists")]) {
      for (const args of [
        ["gc", "--keep", lists, "--dry-run"],
        ["gc", "--keep", lists, "--yes"],
        ["unpin", lists],
      ]) {
        const { status, stderr } = await psync(args, { store });
        assert.equal(status, 7, `${args.join(" ")}: ${stderr}`);
        assert.match(stderr, /there is no store at .*\nhint: .*--store/);
      }
    }
    assert.deepEqual(await readdir(folder, { recursive: true }), before);
  });

  it("LIST-5: a symlink to lists that are away stops gc, unpin --keep, check and pin with status 3", async (t) => {
    const { folder, store, lists, first, second } = await fixture(t);
    const disk = join(folder, "disk");
    await mkdir(disk);
    await rename(second, join(disk, "second.hashlist"));
    await symlink(disk, join(lists, "nas"));
    const before = await kept(store);
    await psyncOk(["gc", "--keep", lists, "--yes"], { store });
    assert.deepEqual(await kept(store), before);
    await rename(disk, join(folder, "unmounted"));
    for (const args of [
      ["gc", "--keep", lists, "--yes"],
      ["unpin", first, "--keep", lists],
      ["check", "--offline", lists],
      ["pin", lists],
      ["fsck", "--lists", lists],
    ]) {
      const { status, stderr } = await psync(args, { store });
      assert.equal(status, 3, `${args.join(" ")}: ${stderr}`);
      assert.ok(stderr.includes(join(lists, "nas")), stderr);
      assert.match(stderr, /hint: /);
    }
    assert.deepEqual(await kept(store), before);
  });

  it("FSCK-2: what was lost is asked for no more once no list names it, or its list is unpinned", async (t) => {
    const { store, lists, first, second, hashes } = await fixture(t);
    const [shared = "", , third = ""] = await hashes(first);
    const last = (await hashes(second)).at(-1) ?? "";
    for (const hash of [shared, third, last]) await flipBit(join(store, "blocks", hash));
    await psync(["fsck", "--repair"], { store });
    const lost = async () =>
      (await readdir(join(store, "quarantine")))
        .filter((name) => name.includes(".kept."))
        .map((name) => name.slice(0, 64))
        .sort();
    assert.deepEqual(await lost(), [shared, third, last].sort());
    await rm(first);
    await psyncOk(["gc", "--keep", lists, "--yes"], { store });
    assert.deepEqual(await lost(), [shared, last].sort());
    await psyncOk(["unpin", second], { store });
    assert.deepEqual(await lost(), []);
    assert.equal((await readdir(join(store, "quarantine"))).length, 3);
  });

  it("GC-1: never touches what is cached", async (t) => {
    const { store, lists, first, hashes } = await fixture(t);
    await psyncOk(["unpin", first], { store });
    const cached = await readdir(join(store, "cache"));
    assert.equal(cached.length, (await hashes(first)).length);
    await rm(first);
    await psyncOk(["gc", "--keep", lists, "--yes"], { store });
    assert.deepEqual(await readdir(join(store, "cache")), cached);
  });

  it("GC-1: a bad or unreadable list stops it with status 3 before anything is removed", async (t) => {
    const { folder, store, lists, first, hashes } = await fixture(t);
    const all = [...(await hashes(first))];
    await rm(first);
    const before = await kept(store);
    const bad: readonly [string, RegExp][] = [
      ["not hex\n", /:1:1: .*hex digit/],
      [`${all[0] ?? ""}\nshort\n`, /:2:/],
    ];
    for (const [text, expected] of bad) {
      await writeFile(join(lists, "z bad.hashlist"), text);
      const { status, stderr } = await psync(["gc", "--keep", lists, "--yes"], { store });
      assert.equal(status, 3, stderr);
      assert.match(stderr, expected);
      assert.match(stderr, /z bad\.hashlist/);
    }
    await rm(join(lists, "z bad.hashlist"));
    const missing = join(folder, "missing");
    const { status, stderr } = await psync(["gc", "--keep", lists, missing, "--yes"], { store });
    assert.equal(status, 1, stderr);
    assert.ok(stderr.includes(missing), stderr);
    assert.deepEqual(await kept(store), before);
  });

  it("GC-1: a list whose file is empty is warned of, also with --yes; that of an empty file is not", async (t) => {
    const { folder, store, lists } = await fixture(t);
    await writeFile(join(folder, "nothing"), "");
    await psyncOk(["export", join(folder, "nothing"), "-o", lists], { store });
    await writeFile(join(lists, "cut.hashlist"), "");
    const { status, stderr } = await psync(["gc", "--keep", lists, "--yes"], { store });
    assert.equal(status, 0, stderr);
    assert.equal(stderr.match(/ is empty: it keeps nothing$/gm)?.length, 1, stderr);
    assert.match(stderr, /^psync: warning: .*cut\.hashlist is empty: it keeps nothing$[^]*can go/m);
  });

  it("GC-1: no list, no terminal to ask at, and a folder without lists are status 2", async (t) => {
    const { folder, store, lists, first } = await fixture(t);
    await rm(first);
    const before = await kept(store);
    const empty = join(folder, "empty");
    await mkdir(empty);
    for (const args of [
      ["gc"],
      ["gc", "--yes"],
      ["gc", "--keep", "--yes"],
      ["gc", "--keep", lists],
      ["gc", "--keep", empty, "--yes"],
      ["gc", "--keep", lists, "--keep", empty, "--yes"],
    ]) {
      const { status, stderr } = await psync(args, { store });
      assert.equal(status, 2, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, /hint: /);
    }
    assert.deepEqual(await kept(store), before);
  });

  it("GC-1: asks at a terminal, and takes nothing but a yes for one", async (t) => {
    const { folder, store, lists, first } = await fixture(t);
    await rm(first);
    const before = (await kept(store)).length;
    const asked = async (answer: string): Promise<string> => {
      await writeFile(join(folder, "terminal.py"), PTY);
      return shell(`python3 terminal.py '${answer}' '${store}' '${lists}'`, folder);
    };
    for (const answer of ["", "n", "maybe"]) {
      assert.match(
        await asked(answer),
        /remove 4 blocks\? \[y\/N\][^]*nothing was removed[^]*status 1/,
      );
      assert.equal((await kept(store)).length, before);
    }
    assert.match(await asked("y"), /removed 4 blocks[^]*status 0/);
    assert.equal((await kept(store)).length, before - 4);
  });
});

/** Runs gc on a terminal of its own, and gives the answer once it is asked for. */
const PTY = `import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(${JSON.stringify(process.execPath)}, ["node", ${JSON.stringify(PSYNC)}, "--store", sys.argv[2], "gc", "--keep", sys.argv[3]])
said = b""
answered = False
while True:
    try: piece = os.read(terminal, 4096)
    except OSError: break
    if not piece: break
    said += piece
    if b"[y/N]" in said and not answered:
        answered = True
        os.write(terminal, sys.argv[1].encode() + b"\\n")
print(said.decode(), "status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

describe("pin and unpin", () => {
  it("PIN-1: pin moves what is cached, fetches what lacks, and needs no server for what is here", async (t) => {
    const { store, lists, first, second } = await fixture(t);
    const bytes = seededBytes("far", 3 * BLOCK);
    const far = await listOf(bytes, BLOCK);
    const server = await startHonestServer([...far.blocks.values()]);
    cleanUp(t, () => server.close());
    await psyncOk(["unpin", first, second], { store });
    assert.deepEqual(await kept(store), []);
    await psyncOk(["pin", first, second], { store });
    assert.deepEqual(await readdir(join(store, "cache")), []);
    assert.equal((await kept(store)).length, 7);
    await writeFile(join(lists, "far.hashlist"), far.text);
    const lacking = await psync(["pin", lists], { store });
    assert.equal(lacking.status, 4, lacking.stderr);
    assert.match(lacking.stderr, /far\.hashlist, block 1/);
    const text = await psyncOk(["pin", lists, "--server", server.url, "--json"], { store });
    assert.equal((JSON.parse(text) as { fetchedCount: number }).fetchedCount, 3);
    await psyncOk(["check", "--offline", lists], { store });
  });

  it("PIN-2: unpin hands blocks to the cache, but those that other lists to keep name", async (t) => {
    const { store, lists, first, second, hashes } = await fixture(t);
    const needed = await hashes(second);
    // The list itself is among those to keep, under another path.
    const args = ["unpin", first, "--keep", join(lists, "..", "lists"), "--json"];
    const { unpinnedCount, neededCount } = JSON.parse(await psyncOk(args, { store })) as Record<
      string,
      number
    >;
    assert.deepEqual({ unpinnedCount, neededCount }, { unpinnedCount: 4, neededCount: 2 });
    assert.deepEqual((await kept(store)).sort(), needed.sort());
    assert.equal((await readdir(join(store, "cache"))).length, 4);
    await psyncOk(["check", "--offline", lists], { store });
    await psyncOk(["unpin", first], { store });
    assert.equal((await kept(store)).length, 1);
  });

  it("PIN-2: unpin stops at a bad list with status 3, and changes nothing", async (t) => {
    const { store, lists, first } = await fixture(t);
    await writeFile(join(lists, "bad.hashlist"), "nonsense\n");
    const before = await kept(store);
    for (const args of [
      ["unpin", lists],
      ["unpin", first, "--keep", lists],
    ]) {
      assert.equal((await psync(args, { store })).status, 3);
    }
    assert.equal((await psync(["unpin"], { store })).status, 2);
    assert.deepEqual(await kept(store), before);
  });
});

interface CheckJson {
  readonly ok: boolean;
  readonly lostSeeds: readonly { readonly path: string; readonly state: string }[];
  readonly lists: readonly (ListCheck & { readonly list: string; readonly file: string })[];
}

describe("check", () => {
  it("CHECK-1: what was exported in place, or lies in a seed of config.json, is here; pin copies it", async (t) => {
    const { folder, store, first, hashes } = await fixture(t);
    const file = join(folder, "first");
    const other = join(folder, "other");
    const check = (store: string) => psync(["check", "--offline", first], { store });
    await psyncOk(["export", "--no-copy", file, "--block-size", "64KiB"], { store: other });
    await rm(join(other, "index.db"));
    assert.equal((await check(other)).status, 0);
    await writeFile(file, "changed");
    const changed = await check(other);
    assert.equal(changed.status, 4);
    assert.match(
      changed.stderr,
      new RegExp(`exported without a copy, and changed since: ${file}\n`),
    );
    await rm(file);
    const gone = await psync(["check", "--offline", first, "--json"], { store: other });
    assert.match(gone.stderr, new RegExp(`exported without a copy, and gone since: ${file}\n`));
    const { lostSeeds } = JSON.parse(gone.stdout.toString()) as CheckJson;
    assert.deepEqual(lostSeeds, [{ path: file, state: "gone" }]);
    await psyncOk(["glue", first, "-o", file], { store });
    const third = join(folder, "third");
    await mkdir(third);
    await writeFile(join(third, "config.json"), JSON.stringify({ seeds: ["../first"] }));
    assert.equal((await check(third)).status, 0);
    await psyncOk(["pin", first], { store: third });
    assert.deepEqual((await kept(third)).sort(), (await hashes(first)).sort());
  });

  it("CHECK-1: is done when every byte is here, and otherwise names list, file, blocks and bytes", async (t) => {
    const { store, lists, first, second, hashes } = await fixture(t);
    await psyncOk(["check", "--offline", lists], { store });
    const [, , own = "", , last = ""] = await hashes(first);
    await rm(join(store, "blocks", own));
    await rm(join(store, "blocks", last));
    const { status, stdout, stderr } = await psync(["check", "--offline", lists, "--json"], {
      store,
    });
    assert.equal(status, 4, stderr);
    assert.match(stderr, /1 of 2 lists cannot be read whole/);
    assert.match(stderr, /first\.hashlist: of 6 blocks 2 missing \(128KiB\)/);
    assert.match(stderr, new RegExp(`block 3 is missing: ${own}`));
    const { ok, lists: checks } = JSON.parse(stdout.toString()) as CheckJson;
    assert.equal(ok, false);
    const { list, file, missingCount, missingBytes, blocks } = checks[0] ?? assert.fail();
    assert.deepEqual(
      { list, file, missingCount, missingBytes },
      { list: first, file: "first", missingCount: 2, missingBytes: 2 * BLOCK },
    );
    assert.deepEqual(
      blocks.map(({ blockIndex, hash }) => [blockIndex, hash]),
      [
        [2, own],
        [4, last],
      ],
    );
    await psyncOk(["check", "--offline", second], { store });
  });

  it("CHECK-1: damage is status 5, and every list that it concerns is named in one run", async (t) => {
    const { store, lists, first, hashes } = await fixture(t);
    const [shared = "", , own = ""] = await hashes(first);
    await flipBit(join(store, "blocks", shared));
    await psyncOk(["check", "--offline", "--quick", lists], { store });
    const { status, stderr } = await psync(["check", "--offline", lists], { store });
    assert.equal(status, 5, stderr);
    assert.match(stderr, /first\.hashlist: of 6 blocks 1 damaged/);
    assert.match(stderr, /second\.hashlist: of 3 blocks 1 damaged/);
    // It changes nothing, and says the same again.
    assert.deepEqual(await readdir(join(store, "quarantine")), []);
    assert.equal((await psync(["check", "--offline", lists], { store })).status, 5);
    await truncate(join(store, "blocks", own), 100);
    const quick = await psync(["check", "--offline", "--quick", first], { store });
    assert.equal(quick.status, 5, quick.stderr);
  });

  it("CHECK-1: asks nobody, so it wants to be told --offline; a bad list is status 3", async (t) => {
    const { folder, store, lists, first } = await fixture(t);
    assert.equal((await psync(["check", lists], { store })).status, 2);
    assert.equal((await psync(["check", "--offline"], { store })).status, 2);
    const none = await psync(["check", "--offline", first], { store: join(folder, "none") });
    assert.equal(none.status, 4, none.stderr);
    await copyFile(join(folder, "first"), join(lists, "junk.hashlist"));
    assert.equal((await psync(["check", "--offline", lists], { store })).status, 3);
  });
});

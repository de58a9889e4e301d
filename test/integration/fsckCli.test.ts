/** `psync fsck` as a user has it, over stores that were spoiled in every way there is. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import {
  access,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { BLOCK_BYTES, fsck, fsckFixture } from "../support/fsckFixture.js";
import { listsFixture } from "../support/mountedCli.js";
import { snapshot } from "../support/snapshot.js";
import { flipBit } from "../support/storeFixtures.js";
import { until } from "../support/until.js";

/** One block of each place for each way to be wrong. @returns their names */
async function spoil(made: Awaited<ReturnType<typeof fsckFixture>>): Promise<readonly string[]> {
  const { path, file } = made;
  const ways: readonly ((block: string) => Promise<unknown>)[] = [
    flipBit,
    (block) => truncate(block, 100),
    (block) => truncate(block, 0),
    async (block) => {
      await rm(block);
      await mkdir(join(block, "inside"), { recursive: true });
    },
    async (block) => {
      await rm(block);
      await symlink("/etc/hostname", block);
    },
    async (block) => {
      // The right bytes, but not in the store.
      await rename(block, join(path, "..", `elsewhere-${block.slice(-64)}`));
      await symlink(join(path, "..", `elsewhere-${block.slice(-64)}`), block);
    },
  ];
  const spoilt: string[] = [];
  for (const [i, way] of ways.entries()) {
    for (const [place, hashes] of [
      ["blocks", made.kept],
      ["cache", made.cached],
    ] as const) {
      const hash = hashes[i] ?? "";
      await way(file(place, hash));
      spoilt.push(hash);
    }
  }
  return spoilt.sort();
}

describe("fsck", () => {
  it("FSCK-1: of a good store says so, and changes nothing", async (t) => {
    const { path, lists } = await fsckFixture(t);
    const before = await snapshot(path);
    const { status, report } = await fsck(["--lists", lists], { store: path });
    assert.equal(status, 0);
    assert.equal(report.checkedCount, 16);
    assert.deepEqual(report.problems, []);
    assert.deepEqual(report.lacking, []);
    assert.deepEqual(await snapshot(path), before);
    assert.match(await psyncOk(["fsck"], { store: path }), /^checked +16, 256KiB in good ones$/m);
  });

  it("FSCK-1: names everything that is wrong with status 5, and changes nothing", async (t) => {
    const made = await fsckFixture(t);
    const spoilt = await spoil(made);
    await writeFile(join(made.path, "blocks", "index.html"), "hello");
    await mkdir(join(made.path, "cache", "folder"));
    await writeFile(join(made.path, "tmp", "999999999.1.1.abc"), "left over");
    const before = await snapshot(made.path);
    const { status, report, stderr } = await fsck(["--lists", made.lists], { store: made.path });
    assert.equal(status, 5, stderr);
    assert.deepEqual(report.problems.map(({ hash }) => hash).sort(), spoilt);
    assert.ok(report.problems.every(({ outcome }) => outcome === "bad"));
    assert.ok(report.problems.every(({ lists }) => lists.length === 1));
    assert.deepEqual(report.strangeNames, ["blocks/index.html", "cache/folder"]);
    assert.match(stderr, /12 blocks of the store .*wrong/);
    assert.deepEqual(await snapshot(made.path), before);
    const text = (await psync(["fsck"], { store: made.path })).stdout.toString();
    assert.match(text, /^bad: kept block [0-9a-f]{64}: .*hash to/m);
    assert.match(text, /^bad: cached block [0-9a-f]{64}: is a symlink$/m);
    assert.match(text, /^bad +12$/m);
  });

  it("FSCK-2: with --repair and a server all is right again, and what was kept is kept", async (t) => {
    const made = await fsckFixture(t);
    const { path, kept, cached } = made;
    const spoilt = await spoil(made);
    await writeFile(join(path, "blocks", "index.html"), "hello");
    const url = await made.serve();
    const { status, report, stderr } = await fsck(["--repair", "--server", url], { store: path });
    assert.equal(status, 0, stderr);
    assert.deepEqual(report.problems.map(({ hash }) => hash).sort(), spoilt);
    assert.ok(report.problems.every(({ outcome }) => outcome === "restored"));
    assert.deepEqual((await readdir(join(path, "blocks"))).sort(), [...kept, "index.html"].sort());
    assert.deepEqual((await readdir(join(path, "cache"))).sort(), cached);
    for (const name of kept) assert.ok((await lstat(made.file("blocks", name))).isFile());
    // What a symlink led to is the user's.
    for (const hash of [kept[5] ?? "", cached[5] ?? ""]) {
      await access(join(path, "..", `elsewhere-${hash}`));
    }
    const names = await readdir(join(path, "quarantine"));
    assert.equal(names.length, 12);
    assert.deepEqual(
      names.filter((name) => name.includes(".kept.")),
      [],
    );
    const again = await fsck([], { store: path });
    assert.deepEqual([again.status, again.report.problems], [0, []]);
    assert.equal(await readFile(join(path, "blocks", "index.html"), "utf8"), "hello");
  });

  it("FSCK-2: with --repair and no server, status 5, and what was lost is named with list and file", async (t) => {
    const made = await fsckFixture(t);
    const { path, kept, cached, keptList } = made;
    await flipBit(made.file("blocks", kept[3] ?? ""));
    await flipBit(made.file("cache", cached[3] ?? ""));
    const { status, report } = await fsck(["--repair", "--lists", made.lists], { store: path });
    assert.equal(status, 5);
    assert.deepEqual(
      report.problems.map(({ hash, outcome, lists }) => [hash, outcome, lists[0]?.file]),
      [
        [cached[3], "lost", "cached.bin"],
        [kept[3], "lost", "kept.bin"],
      ],
    );
    const place = report.problems.find(({ place }) => place === "kept")?.lists[0];
    assert.equal(keptList.hashAt(place?.blockIndex ?? -1), kept[3]);
    assert.deepEqual(
      report.lacking.map(({ lackingCount }) => lackingCount),
      [1, 1],
    );
    // A cached block may go; a kept one that was lost is asked for until somebody has it.
    const again = await fsck([], { store: path });
    assert.equal(again.status, 5);
    assert.deepEqual(
      again.report.problems.map(({ hash, outcome }) => [hash, outcome]),
      [[kept[3], "lost"]],
    );
    const text = (await psync(["fsck", "--lists", made.lists], { store: path })).stdout.toString();
    assert.match(text, /^ {4}block \d+ of kept\.bin \(.*kept\.bin\.hashlist\)$/m);
    const url = await made.serve();
    const repaired = await fsck(["--repair", "--server", url], { store: path });
    assert.equal(repaired.status, 0);
    await access(made.file("blocks", kept[3] ?? ""));
    assert.equal((await fsck([], { store: path })).status, 0);
  });

  it("FSCK-2: a lost kept block that was given up, by removing it from quarantine/, is no longer asked for", async (t) => {
    const made = await fsckFixture(t);
    await flipBit(made.file("blocks", made.kept[0] ?? ""));
    assert.equal((await fsck(["--repair"], { store: made.path })).status, 5);
    await rm(join(made.path, "quarantine"), { recursive: true });
    assert.equal((await fsck([], { store: made.path })).status, 0);
  });

  it("FSCK-2: a kept block that a reader set aside is kept again", async (t) => {
    const made = await fsckFixture(t);
    const hash = made.kept[0] ?? "";
    await flipBit(made.file("blocks", hash));
    assert.notEqual((await psync(["cat", hash], { store: made.path })).status, 0);
    assert.equal(existsSync(made.file("blocks", hash)), false);
    const url = await made.serve();
    const { status, report } = await fsck(["--repair", "--server", url], { store: made.path });
    assert.equal(status, 0);
    assert.deepEqual(
      report.problems.map((problem) => [problem.hash, problem.outcome]),
      [[hash, "restored"]],
    );
    await access(made.file("blocks", hash));
  });

  it("removes what dead processes were writing, and only that, with --repair", async (t) => {
    const { path } = await fsckFixture(t);
    const namespace = (await readdir("/proc/self/ns")).includes("pid");
    assert.ok(namespace);
    // No pid is so large (proc(5), pid_max), and the probe of our own process tells the namespace.
    const { openTempFiles } = await import("../../src/store/tempFiles.js");
    const { silentLogger } = await import("../../src/core/log.js");
    const own = (await openTempFiles(join(path, "tmp"), silentLogger)).newPath();
    const dead = own.replace(`${process.pid}.`, "999999999.");
    await writeFile(own, "being written");
    await writeFile(dead, "left over");
    assert.equal((await fsck([], { store: path })).report.leftTempFileCount, 1);
    await access(dead);
    assert.equal((await fsck(["--repair"], { store: path })).report.leftTempFileCount, 1);
    assert.equal(existsSync(dead), false);
    await access(own);
  });

  it("FSCK-3: goes on where Ctrl-C ended it, and looks again at what was bad", async (t) => {
    const made = await fsckFixture(t);
    const { path, kept, cached } = made;
    const [first = "", second = ""] = kept;
    const last = cached.at(-1) ?? "";
    await flipBit(made.file("blocks", second));
    await flipBit(made.file("cache", last));
    const stalling = await startFaultyServer({
      blocks: made.blocks,
      seed: 1,
      fault: (hash) => (hash === last ? "stalledBeforeHeaders" : "none"),
    });
    cleanUp(t, () => stalling.close());
    const repair = ["fsck", "--repair", "--jobs", "1"];
    const stopped = await psync([...repair, "--server", stalling.url], {
      store: path,
      interruptWhen: until(
        "the last block is asked for",
        () => stalling.requestCount(last as BlockHash) > 0,
      ),
    });
    assert.equal(stopped.status, 130, stopped.stderr);
    await access(join(path, "fsck.json"));
    // What was checked before is not read again, within the day.
    await flipBit(made.file("blocks", first));
    const url = await made.serve();
    const { status, report, stderr } = await fsck(["--repair", "--server", url], { store: path });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /going on where a check was interrupted .* after 15 blocks; --restart/);
    assert.equal(report.checkedCount, 16);
    assert.equal(existsSync(join(path, "fsck.json")), false);
    assert.equal((await fsck([], { store: path })).status, 5);
  });

  it("FSCK-3: what was found before a break is found after it; --restart begins anew", async (t) => {
    const made = await fsckFixture(t);
    const { path, kept, cached } = made;
    await flipBit(made.file("blocks", kept[0] ?? ""));
    const state = (savedUnixMs: number, after = cached[7] ?? "") =>
      JSON.stringify({
        version: 1,
        savedUnixMs,
        place: "cached",
        after,
        checkedCount: 15,
        checkedBytes: 15 * BLOCK_BYTES,
        suspects: [{ place: "kept", hash: kept[0] }],
      });
    const progress = join(path, "fsck.json");
    await writeFile(progress, state(Date.now() - 60_000));
    const { status, report, stderr } = await fsck([], { store: path });
    assert.equal(status, 5);
    assert.deepEqual([report.checkedCount, report.problems.length], [16, 1]);
    assert.match(stderr, /1 min ago/);
    // Older than a day, from the future, torn, or nonsense: begun anew.
    const day = 24 * 60 * 60_000;
    for (const text of [
      state(Date.now() - day - 60_000),
      state(Date.now() + day),
      state(Date.now()).slice(0, 100),
      state(Date.now(), "../x"),
      "[]",
    ]) {
      await writeFile(progress, text);
      const anew = await fsck([], { store: path });
      assert.doesNotMatch(anew.stderr, /going on/);
      assert.deepEqual([anew.status, anew.report.checkedCount], [5, 16]);
    }
    await writeFile(progress, state(Date.now()));
    const restarted = await fsck(["--restart"], { store: path });
    assert.doesNotMatch(restarted.stderr, /going on/);
    assert.equal(restarted.report.checkedCount, 16);
  });

  it("FSCK-2: works without an index, and beside a damaged one", async (t) => {
    const made = await fsckFixture(t);
    const { path, cached } = made;
    for (const suffix of ["", "-wal", "-shm"]) {
      await rm(join(path, `index.db${suffix}`), { force: true });
    }
    assert.equal((await fsck([], { store: path })).status, 0);
    assert.equal(existsSync(join(path, "index.db")), false);
    assert.equal((await fsck(["--repair"], { store: path })).status, 0);
    await writeFile(join(path, "index.db"), "no database at all, but long enough to be looked at");
    assert.equal((await fsck(["--repair"], { store: path })).status, 0);
    assert.deepEqual((await readdir(join(path, "cache"))).sort(), cached);
  });
});

describe(
  "fsck beside a mount",
  { skip: existsSync("/dev/fuse") ? false : "there is no /dev/fuse" },
  () => {
    it("FSCK-2: finds nothing wrong while the mount caches and evicts", async (t) => {
      const made = await listsFixture(t);
      const bytes = seededBytes("evicting", 24 << 20);
      await made.add("big", bytes);
      const { url } = await made.serve();
      await made.mount([url], { args: ["--cache-size", "8MiB"] });
      const state = { isOver: false };
      const reading = (async () => {
        let readCount = 0;
        while (!state.isOver) {
          assert.ok((await readFile(join(made.mountpoint, "big"))).equals(bytes));
          readCount += 1;
          // A list that changes has new pages: the kernel would answer all by itself.
          await made.add("big", bytes);
        }
        return readCount;
      })();
      for (const args of [["--repair"], [], ["--repair"]]) {
        const { status, report, stderr } = await fsck(args, { store: made.store });
        assert.deepEqual([status, report.problems], [0, []], stderr);
      }
      state.isOver = true;
      assert.ok((await reading) > 0);
    });
  },
);

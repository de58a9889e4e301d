/** `psync fsck` as a user has it: the lists and settings that it is given, and a store that is not there. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { blockOf } from "../../src/block/verify.js";
import { seededBytes } from "../support/blocks.js";
import { psync, psyncOk } from "../support/cli.js";
import { BLOCK_BYTES, fsck, fsckFixture } from "../support/fsckFixture.js";
import { flipBit } from "../support/storeFixtures.js";

describe("fsck", () => {
  it("says what a slip on the command line is", async (t) => {
    const { path, lists } = await fsckFixture(t);
    assert.equal((await psync(["fsck", "--jobs", "0"], { store: path })).status, 2);
    const missing = join(lists, "missing");
    assert.equal((await psync(["fsck", "--lists", missing], { store: path })).status, 1);
    const empty = join(lists, "empty");
    await mkdir(empty);
    assert.equal((await psync(["fsck", "--lists", empty], { store: path })).status, 2);
    await psyncOk(["fsck", "--lists", lists], { store: path });
    await writeFile(join(lists, "bad.hashlist"), "no hash\n");
    const { status, stderr } = await psync(["fsck", "--lists", lists], { store: path });
    assert.equal(status, 3);
    assert.match(stderr, /bad\.hashlist:1:1: /);
  });

  it("STORE-4: fsck of a store that is not there is status 7, and makes none", async (t) => {
    const { path } = await fsckFixture(t);
    const nowhere = join(path, "..", "nowhere");
    for (const args of [["fsck"], ["fsck", "--repair"]]) {
      const { status, stderr } = await psync(args, { store: nowhere });
      assert.equal(status, 7, stderr);
      assert.match(stderr, /there is no store at .*nowhere\nhint: /);
      assert.equal(existsSync(nowhere), false);
    }
  });

  it("STORE-3: --repair leaves free of the disk what config.json says", async (t) => {
    const made = await fsckFixture(t);
    const { hash, bytes } = blockOf(seededBytes("not counted", BLOCK_BYTES));
    const url = await made.serve([blockOf(bytes)]);
    const repair = async () => {
      await writeFile(made.file("cache", hash), "bad");
      await psync(["fsck", "--repair", "--server", url], { store: made.path });
      return existsSync(made.file("cache", hash));
    };
    await writeFile(join(made.path, "config.json"), JSON.stringify({ minFree: "100%" }));
    assert.equal(await repair(), false);
    await rm(join(made.path, "config.json"));
    assert.equal(await repair(), true);
  });

  it("FSCK-1: says of blocks that lie in a file exported without a copy only where they are not", async (t) => {
    const { path, lists } = await fsckFixture(t);
    const file = join(path, "..", "file");
    await writeFile(file, seededBytes("in place", 3 * BLOCK_BYTES));
    const args = ["export", "--no-copy", "--block-size", `${BLOCK_BYTES}`, file, "-o", lists];
    await psyncOk(args, { store: path });
    for (const more of [[], ["--repair"]]) {
      const text = await psyncOk(["fsck", "--lists", lists, ...more], { store: path });
      assert.match(text, /^3 blocks of .*file\.hashlist are not in blocks\/ or cache\/$/m);
      assert.match(text, /exported without a copy.*psync check/);
      assert.match(text, /^lists that lack blocks +1 of \d+; see `psync check --offline LIST`$/m);
      assert.doesNotMatch(text, /not in the store/);
    }
    await psyncOk(["check", "--offline", lists], { store: path });
  });

  it("FSCK-1: --lists finds lists behind symlinks, as a mount shows them", async (t) => {
    const made = await fsckFixture(t);
    const { path, lists, kept } = made;
    const elsewhere = join(path, "..", "elsewhere");
    await rename(lists, elsewhere);
    await mkdir(lists);
    await symlink(join(elsewhere, "kept.bin.hashlist"), join(lists, "link.bin.hashlist"));
    await flipBit(made.file("blocks", kept[0] ?? ""));
    const { report } = await fsck(["--lists", lists], { store: path });
    assert.deepEqual(
      report.problems.map(({ lists }) => lists.map(({ file }) => file)),
      [["link.bin"]],
    );
  });
});

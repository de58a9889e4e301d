/** Writes that are taken in part, and calls that are interrupted: injected into the system calls of another process. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { PSYNC, psyncOk } from "../support/cli.js";
import { hasStrace, makeBlock } from "../support/storeFixtures.js";
import { straced } from "../support/straced.js";
import { tempFolder } from "../support/tempFolder.js";

const WORKER = fileURLToPath(new URL("../support/storeWorker.js", import.meta.url));
const BLOCK_BYTES = 16_384;
const keep = (path: string): readonly string[] => [
  process.execPath,
  WORKER,
  "keep",
  path,
  "0",
  "1",
];

describe("a block's write", { skip: hasStrace ? false : "there is no strace" }, () => {
  it("KEEP-1: that is taken in part is continued where it ended", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    // Of each thread the first write; that of the index fails with it, which must not matter.
    const fault = ["-e", "inject=pwrite64:retval=1000:when=1"];
    const { calls } = await straced(folder, ["pwrite64"], keep(path), fault);
    const written = calls
      .filter(({ args }) => args.includes(`<${join(path, "tmp/")}`))
      .map(({ args }) => /, (\d+), (\d+)$/.exec(args)?.slice(1).map(Number));
    assert.deepEqual(written, [
      [BLOCK_BYTES, 0],
      [BLOCK_BYTES - 1000, 1000],
    ]);
  });

  it("DISK-2: that is taken in part and then refused is an error, and leaves nothing", async (t) => {
    const path = join(await tempFolder(t), "store");
    // In units of 1024 bytes: half of the block may be written.
    const command = `ulimit -f 8; exec "$@"`;
    await assert.rejects(
      promisify(execFile)("bash", ["-c", command, "bash", ...keep(path)]),
      /cannot write .*: the file would be larger than this process may write \(EFBIG\)/,
    );
    assert.deepEqual(await readdir(join(path, "tmp")), []);
    assert.deepEqual(await readdir(join(path, "blocks")), []);
  });

  for (const name of ["pwrite64", "fdatasync", "rename", "fsync"]) {
    it(`KEEP-1: goes on when a signal interrupts ${name}`, async (t) => {
      const folder = await tempFolder(t);
      const path = join(folder, "store");
      const fault = ["-e", `inject=${name}:error=EINTR:when=1..200+5`];
      const { calls } = await straced(folder, [name], keep(path), fault);
      assert.ok(calls.some(({ result }) => result.includes("INJECTED")));
      const { hash, bytes } = makeBlock(0, BLOCK_BYTES);
      assert.deepEqual(await readFile(join(path, "blocks", hash)), Buffer.from(bytes));
      assert.deepEqual(await readdir(join(path, "tmp")), []);
    });
  }

  it("READ-1: a read that a signal interrupts goes on", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const hash = (await psyncOk(["export"], { store, input: "block" })).trim();
    const fault = ["-P", join(store, "blocks", hash), "-e", "inject=pread64:error=EINTR:when=1..3"];
    const cat = [process.execPath, PSYNC, "--store", store, "cat", hash];
    const { calls, stdout } = await straced(folder, ["pread64"], cat, fault);
    assert.ok(calls.some(({ result }) => result.includes("INJECTED")));
    assert.equal(stdout, "block");
  });
});

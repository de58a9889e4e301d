/** A mount with a seed on a file system that hangs: another program's, which was stopped. */
import { strict as assert } from "node:assert";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { findMount } from "../../src/core/mountTable.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk } from "../support/cli.js";
import { listsFixture, mountCli } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

/** A file system of one file, whose program can be stopped. */
async function hangingMount(t: TestContext, mountpoint: string, sizeBytes: number) {
  await mkdir(mountpoint);
  const script = new URL("../support/hangingChild.js", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, mountpoint, `${sizeBytes}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  cleanUp(t, async () => {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
    await ended;
    if (await findMount(mountpoint)) await promisify(execFile)("umount", ["-l", mountpoint]);
  });
  await once(createInterface({ input: child.stdout }), "line");
  return { stop: () => child.kill("SIGSTOP") };
}

/** Reads a block's begin in a process of its own: threads that wait must not be this one's. */
async function canRead(path: string, skip: number): Promise<boolean> {
  const args = [`if=${path}`, "of=/dev/null", "bs=4096", "count=1", `skip=${skip}`];
  return promisify(execFile)("dd", args).then(
    () => true,
    () => false,
  );
}

describe("a seed that hangs", { skip: skipReason() }, () => {
  it("SEED-5, MOUNT-4: holds up no other block, and not the end of the mount", async (t) => {
    const { folder, lists, store, mountpoint, add } = await listsFixture(t);
    const far = join(folder, "far");
    const program = await hangingMount(t, far, 12 * MIB);
    const bytes = await readFile(join(far, "file"));
    await add("far", bytes);
    const kept = seededBytes("kept", 6 * MIB);
    await writeFile(join(folder, "near"), kept);
    await psyncOk(["export", join(folder, "near"), "-o", lists], { store });
    const mounted = await mountCli(t, { lists, store, mountpoint, args: ["--seed", far] });
    await until("the seed is hashed", () => canRead(join(mountpoint, "far"), 0));
    program.stop();
    const reads = [1, 2, 3, 4, 5].map((i) => canRead(join(mountpoint, "far"), i * 512));
    const startMs = performance.now();
    assert.deepEqual(await readFile(join(mountpoint, "near")), kept);
    assert.ok(performance.now() - startMs < 10_000, "a kept block waited for the seed");
    const stopMs = performance.now();
    await mounted.process.stop("SIGINT");
    const tookMs = performance.now() - stopMs;
    assert.ok(tookMs < 12_000, `the mount took ${tookMs} ms to end`);
    assert.equal(await findMount(mountpoint), undefined);
    await Promise.all(reads);
  });

  it("SEED-3: a mount of psync is no seed, as it is no file to export without a copy", async (t) => {
    const { lists, store, mountpoint, add, serve } = await listsFixture(t);
    const bytes = seededBytes("data", 3 * MIB);
    await add("data", bytes);
    const server = await serve();
    await mountCli(t, { lists, store, mountpoint, servers: [server.url] });
    const list = join(lists, "data.hashlist");
    const other = `${store}2`;
    const { status, stderr } = await psync(["get", "--seed", mountpoint, server.url, list], {
      store: other,
    });
    assert.equal(status, 0);
    assert.match(stderr, /no seeds are taken from .*is a mount of psync/);
  });
});

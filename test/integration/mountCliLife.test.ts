import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readdir, readFile, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { findMount } from "../../src/core/mountTable.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { listsFixture, shell, unmountAfter } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

/** Reads a file in small steps, for about two seconds. */
const SLOW_READER = `open(my $f, "<", $ARGV[0]) or die; $| = 1;
  for (;;) { my $n = sysread($f, my $b, 65536); die "read: $!\\n" unless defined $n; last unless $n;
    print $b; select(undef, undef, undef, 0.015) }`;

describe("the life of a mount", { skip: skipReason() }, () => {
  it("MOUNT-1: --daemon returns when the mount answers, logs to the store, and umount ends it", async (t) => {
    const { store, lists, mountpoint, add, serve } = await listsFixture(t);
    await add("file", Buffer.from("text"));
    const { url } = await serve();
    await mkdir(mountpoint);
    unmountAfter(t, mountpoint);
    await psyncOk(["mount", lists, mountpoint, "--daemon", "--server", url], { store });
    assert.equal(await readFile(join(mountpoint, "file"), "utf8"), "text");
    const [log = ""] = await readdir(join(store, "log"));
    assert.match(await readFile(join(store, "log", log), "utf8"), / is mounted at /);
    await psyncOk(["umount", mountpoint], { store });
    assert.equal(await findMount(mountpoint), undefined);
    assert.equal((await psync(["umount", mountpoint], { store })).status, 6);
  });

  it("MOUNT-1: --daemon shows what the mount warned of until it was there, also in its log", async (t) => {
    const { folder, store, lists, mountpoint, add } = await listsFixture(t);
    await add("file", Buffer.from("text"));
    await mkdir(mountpoint);
    unmountAfter(t, mountpoint);
    const seed = join(folder, "no such seed");
    const args = ["mount", lists, mountpoint, "--daemon", "--seed", seed];
    const { status, stderr } = await psync(args, { store });
    assert.equal(status, 0, stderr);
    const [log = ""] = await readdir(join(store, "log"));
    const logged = await readFile(join(store, "log", log), "utf8");
    for (const warning of [/no seeds are taken from .*no such seed/, /no server is configured/]) {
      assert.match(stderr, warning);
      assert.match(logged, warning);
    }
    await psyncOk(["umount", mountpoint], { store });
  });

  it("MOUNT-1: a mount that cannot be is refused with the reason, in the foreground and as a daemon", async (t) => {
    const { folder, store, lists, mountpoint } = await listsFixture(t);
    const full = join(folder, "full");
    await mkdir(full);
    await writeFile(join(full, "precious"), "precious");
    await mkdir(mountpoint);
    const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
      [[lists, full], 6, /is not empty/],
      [[lists, join(folder, "none")], 6, /does not exist/],
      [[lists, join(full, "precious")], 6, /not a folder/],
      [[lists, lists], 6, /lie in one another/],
      [[lists, folder], 6, /lie in one another/],
      [[join(folder, "none"), mountpoint], 1, /none/],
      [[lists, mountpoint, "--server", "nonsense://x"], 2, /nonsense/],
    ];
    for (const [args, expected, message] of cases) {
      for (const daemon of [[], ["--daemon"]]) {
        const { status, stderr } = await psync(["mount", ...args, ...daemon], { store });
        assert.equal(status, expected, stderr);
        assert.match(stderr, message);
      }
      assert.equal(await findMount(mountpoint), undefined);
    }
    assert.deepEqual(await readdir(full), ["precious"]);
  });

  it("MOUNT-2: Ctrl-C and SIGTERM unmount, also while a file is open", async (t) => {
    const { add, mount, serve, mountpoint } = await listsFixture(t);
    await add("file", seededBytes("open", 3 * MIB));
    const { url } = await serve();
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const { process } = await mount([url]);
      assert.equal(await process.stop(signal), 0);
      assert.equal(await findMount(mountpoint), undefined);
    }
    const { folder, process } = await mount([url]);
    const file = await open(join(folder, "file"));
    const stopped = process.stop("SIGTERM");
    await until("it is gone", async () => (await findMount(mountpoint)) === undefined);
    const piece = Buffer.alloc(4096);
    assert.equal((await file.read(piece, 0, 4096, 2 * MIB)).bytesRead, 4096);
    await file.close();
    assert.equal(await stopped, 0);
    assert.match(process.stderr(), /is in use/);
  });

  it("MOUNT-2: a reader that is reading when SIGTERM comes reads to the end", async (t) => {
    const { add, mount, serve, mountpoint } = await listsFixture(t);
    const bytes = seededBytes("read on", 9 * MIB);
    await add("file", bytes);
    const { url } = await serve();
    const { folder, process } = await mount([url]);
    await readFile(join(folder, "file"));
    // The pages of the kernel are not what is tested.
    await shell("dd if=file iflag=nocache count=0 status=none", folder);
    const reader = spawn("perl", ["-e", SLOW_READER, join(folder, "file")]);
    const pieces: Buffer[] = [];
    let complaints = "";
    reader.stdout.on("data", (piece: Buffer) => pieces.push(piece));
    reader.stderr.on("data", (piece: Buffer) => (complaints += piece.toString()));
    const ended = once(reader, "close");
    await until("it reads", () => pieces.length > 1);
    const stopped = process.stop("SIGTERM");
    await until("it is gone", async () => (await findMount(mountpoint)) === undefined);
    assert.equal(reader.exitCode, null);
    await ended;
    assert.equal(complaints, "");
    assert.ok(Buffer.concat(pieces).equals(bytes));
    assert.equal(await stopped, 0);
  });

  it("MOUNT-3: what kill -9 left behind is cleared by the next mount, and files read on", async (t) => {
    const { add, mount, serve, mountpoint } = await listsFixture(t);
    const bytes = seededBytes("killed", 5 * MIB);
    await add("file", bytes);
    const { url } = await serve();
    const first = await mount([url]);
    await readFile(join(first.folder, "file"));
    await first.process.stop("SIGKILL");
    // Not `stat`: the kernel may still answer that from its memory.
    await assert.rejects(statfs(mountpoint), { code: "ENOTCONN" });
    const second = await mount([url]);
    assert.deepEqual(await readFile(join(second.folder, "file")), bytes);
    assert.match(second.process.stderr(), /cleared what a killed psync/);
    await second.process.stop("SIGKILL");
    await psyncOk(["umount", mountpoint], { store: join(mountpoint, "..", "store") });
    assert.equal(await findMount(mountpoint), undefined);
  });

  it("MOUNT-3: mounts of others, and psync's own that lives, are not touched", async (t) => {
    const { folder: base, store, lists, add, mount, mountpoint } = await listsFixture(t);
    await add("file", Buffer.from(""));
    await mount([]);
    const again = await psync(["mount", lists, mountpoint], { store });
    assert.equal(again.status, 6);
    assert.match(again.stderr, /already mounted/);
    assert.equal((await stat(join(mountpoint, "file"))).size, 0);
    if (process.getuid?.() !== 0) return;
    const other = join(base, "other");
    await mkdir(other);
    await shell(`mount -t tmpfs tmpfs ${other}`, base);
    cleanUp(t, () => shell(`umount -l ${other}`, base));
    assert.equal((await psync(["umount", other], { store })).status, 6);
    assert.equal((await findMount(other))?.type, "tmpfs");
  });

  it("MOUNT-4: reads that nobody answers do not hold up unmounting", async (t) => {
    const { add, mount, blocks, mountpoint } = await listsFixture(t);
    await add("file", seededBytes("stalled", 3 * MIB));
    const silent = await startFaultyServer({ blocks, seed: 3, fault: "stalledBeforeHeaders" });
    cleanUp(t, () => silent.close());
    const { folder, process } = await mount([silent.url]);
    const reading = shell("cat file > /dev/null", folder).then(
      () => "read",
      () => "failed",
    );
    await until("the server was asked", () => silent.requestCount() > 0);
    const stopped = process.stop();
    await until("it is gone", async () => (await findMount(mountpoint)) === undefined, 3000);
    assert.equal(await stopped, 0);
    assert.equal(await reading, "failed");
    assert.match(process.stderr(), /1 open files are not served any more/);
  });

  it("MOUNT-4: the kernel's own read-ahead, for nobody, does not hold up the end either", async (t) => {
    const { add, mount, blocks } = await listsFixture(t);
    await add("file", seededBytes("ahead", 3 * MIB));
    const silent = await startFaultyServer({ blocks, seed: 3, fault: "stalledBeforeHeaders" });
    cleanUp(t, () => silent.close());
    const { folder, process } = await mount([silent.url]);
    const script =
      'import os; f = os.open("file", os.O_RDONLY); os.posix_fadvise(f, 0, 131072, 3); os.close(f)';
    await shell(`python3 -c '${script}'`, folder);
    await until("the server was asked", () => silent.requestCount() > 0);
    const startMs = performance.now();
    assert.equal(await process.stop(), 0);
    // The read itself would take its whole deadline, 30 s.
    assert.ok(performance.now() - startMs < 20_000);
  });

  it("MOUNT-5: a busy mount stays mounted, and umount names who holds it", async (t) => {
    const { add, mount, store, mountpoint } = await listsFixture(t);
    await add("file", Buffer.from("held"));
    const { folder } = await mount([]);
    const file = await open(join(folder, "file"));
    const busy = await psync(["umount", mountpoint], { store });
    await file.close();
    assert.equal(busy.status, 6);
    assert.match(busy.stderr, /is in use/);
    assert.match(busy.stderr, new RegExp(`node \\(${process.pid}\\)`));
    assert.ok(await findMount(mountpoint));
    await until("it can be unmounted", async () => {
      return (await psync(["umount", mountpoint], { store })).status === 0;
    });
  });

  it("MOUNT-2: a mount that somebody else takes down ends its process", async (t) => {
    const { folder: base, mount, mountpoint } = await listsFixture(t);
    const { process } = await mount([]);
    await shell(`fusermount3 -u ${mountpoint}`, base);
    assert.equal(await process.ended, 0);
  });
});

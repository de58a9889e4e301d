import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError, type PsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { createFuseNativeDriver } from "../../src/mount/driver/fuseNative.js";
import { findMount } from "../../src/core/mountTable.js";
import { startMountSession } from "../../src/mount/mountSession.js";
import { clearDeadMount, unmountPath } from "../../src/mount/unmount.js";
import { MemoryFileSystem } from "../support/memoryFileSystem.js";
import { run, skipReason, withMount } from "../support/mounting.js";
import { until } from "../support/until.js";

const CLOCK = { clock: systemClock };
const PARTS = { ...CLOCK, log: silentLogger };

interface MountingChild {
  readonly child: ChildProcess;
  readonly output: () => string;
}

/** A folder, and a child process that can mount on it. Both are gone afterwards. */
async function withFolder(
  test: (folder: string, start: () => Promise<MountingChild>) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), "psync-driver-"));
  const children: ChildProcess[] = [];
  const start = async (): Promise<MountingChild> => {
    const script = new URL("../support/mountChild.js", import.meta.url).pathname;
    const child = spawn(process.execPath, [script, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    await until("the child has mounted", () => text.includes("mounted\n"));
    return { child, output: () => text };
  };
  try {
    await test(folder, start);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    if (await findMount(folder)) await unmountPath(folder, { ...CLOCK, lazy: true });
    await rm(folder, { recursive: true });
  }
}

function ended({ child }: MountingChild): Promise<void> {
  return until("the child has ended", () => child.exitCode !== null || child.signalCode !== null);
}

describe("the life of a mount", { skip: skipReason() }, () => {
  it("begins without a look at itself: killed in it, the process would never end", async () => {
    await withFolder(async (folder) => {
      const fileSystem = new MemoryFileSystem();
      const looks: string[] = [];
      fileSystem.attributes = (path) => {
        looks.push(path);
        return new Promise(() => undefined);
      };
      const session = await startMountSession(
        { driver: createFuseNativeDriver(PARTS), fileSystem, ...PARTS },
        { mountpoint: folder, sourceName: "test", allowOther: false, ownFolders: [] },
      );
      assert.deepEqual(looks, []);
      await session.stop();
    });
  });

  it("what a killed psync left behind is cleared", async () => {
    await withFolder(async (folder, start) => {
      const mounting = await start();
      mounting.child.kill("SIGKILL");
      await ended(mounting);
      assert.notEqual(await findMount(folder), undefined);
      assert.equal(await clearDeadMount(folder, CLOCK), true);
      assert.equal(await findMount(folder), undefined);
      assert.equal(await clearDeadMount(folder, CLOCK), false);
    });
  });

  it("killed while a changed file is being detached, psync ends and its mount is cleared", async () => {
    await withFolder(async (folder, start) => {
      const mounting = await start();
      const reader = spawn("perl", [
        "-e",
        `open(my $f, "<", $ARGV[0]) or die; kill("USR2", $ARGV[1]); select(undef, undef, undef, 0.2);
          open(my $g, "<", $ARGV[0])`,
        join(folder, "a"),
        String(mounting.child.pid),
      ]);
      // It waits for the process that is killed, with the folder locked.
      await until("a renaming process is there", () => isRenaming(mounting.child.pid ?? 0));
      mounting.child.kill("SIGKILL");
      await ended(mounting);
      await until("the reader has ended", () => reader.exitCode !== null);
      assert.equal(await clearDeadMount(folder, CLOCK), true);
    });
  });

  it("a mount that lives is not cleared", async () => {
    await withFolder(async (folder, start) => {
      await start();
      await assert.rejects(clearDeadMount(folder, CLOCK), (error: PsyncError) => {
        assert.match(error.message, /already mounted/);
        return error.code === "ERR_PSYNC_MOUNT";
      });
      assert.equal((await run("cat", join(folder, "a"))).stdout, "from the child");
    });
  });

  it("a mount that is not psync's is neither cleared nor unmounted", async () => {
    assert.equal(await clearDeadMount("/proc", CLOCK), false);
    await assert.rejects(unmountPath("/proc", { ...CLOCK, lazy: false }), (error) =>
      isPsyncError(error, "ERR_PSYNC_MOUNT"),
    );
  });

  it("unmounted by somebody else, the mount is closed and the process ends by itself", async () => {
    await withFolder(async (folder, start) => {
      const mounting = await start();
      assert.equal((await run("fusermount3", "-u", folder)).code, 0);
      await ended(mounting);
      assert.equal(mounting.child.exitCode, 0);
      assert.equal(mounting.output(), "mounted\nclosed\n");
    });
  });

  it(
    "a mount whose connection is aborted is closed too",
    { skip: process.getuid?.() !== 0 },
    async () => {
      await withFolder(async (folder, start) => {
        const mounting = await start();
        await run("umount", "-f", folder);
        await ended(mounting);
        assert.equal(mounting.child.exitCode, 0);
      });
    },
  );

  it("a failed mount leaves the mountpoint as it was", async () => {
    await withFolder(async (folder) => {
      await writeFile(join(folder, "mine"), "content");
      await assertRefused(folder, /cannot be mounted/);
      assert.deepEqual(await readdir(folder), ["mine"]);
      assert.equal(await findMount(folder), undefined);
      await assertRefused(join(folder, "missing"), /no such file/);
      await assertRefused(join(folder, "mine"), /not a directory/);
    });
  });

  it("a mountpoint that is taken is refused, and stays", async () => {
    const files = new MemoryFileSystem();
    await withMount(files, async ({ folder }) => {
      const before = await findMount(folder);
      await assertRefused(folder, /another file system is mounted on it/);
      assert.deepEqual(await findMount(folder), before);
    });
  });

  it("two mounts live side by side, and closing one leaves the other", async () => {
    const [one, other] = [new MemoryFileSystem(), new MemoryFileSystem()];
    one.put("/a", "one");
    other.put("/a", "other");
    await withMount(one, async (first) => {
      await withMount(other, async (second) => {
        assert.equal((await run("cat", first.path("a"), second.path("a"))).stdout, "oneother");
      });
      assert.equal((await run("cat", first.path("a"))).stdout, "one");
    });
  });

  it("without the addon, mounting says what to install", async () => {
    const driver = JSON.stringify(new URL("../../src/mount/driver/fuseNative.js", import.meta.url));
    const script = `const { createFuseNativeDriver } = await import(${driver});
      const driver = createFuseNativeDriver({ clock: { nowMs: () => 0 }, log: {} });
      await driver.mount({}, { mountpoint: "/", sourceName: "x", allowOther: false })
        .catch((error) => console.log(error.code, error.hint));`;
    const { stdout } = await run(
      "env",
      "FUSE_NATIVE_PREBUILD=/nowhere",
      process.execPath,
      "--input-type=module",
      "-e",
      script,
    );
    assert.equal(stdout, "ERR_PSYNC_MOUNT apt-get install libfuse2 fuse3\n");
  });

  it("in a worker thread mounting is refused", async () => {
    const driver = JSON.stringify(new URL("../../src/mount/driver/fuseNative.js", import.meta.url));
    const worker = new Worker(
      `import(${driver}).then(({ createFuseNativeDriver }) => createFuseNativeDriver({}).mount({}, {}))
        .catch((error) => require("node:worker_threads").parentPort.postMessage(error.message));`,
      { eval: true },
    );
    const message = await new Promise((resolve) => worker.once("message", resolve));
    await worker.terminate();
    assert.match(String(message), /main thread/);
  });
});

/** Whether a child of the process waits in a rename. Source: proc_pid_syscall(5), syscall 82. */
async function isRenaming(parent: number): Promise<boolean> {
  const list = await readFile(`/proc/${parent}/task/${parent}/children`, "utf8").catch(() => "");
  const calls = list
    .trim()
    .split(" ")
    .map((pid) => readFile(`/proc/${pid}/syscall`, "utf8").catch(() => ""));
  return (await Promise.all(calls)).some((call) => call.startsWith("82 "));
}

async function assertRefused(mountpoint: string, message: RegExp): Promise<void> {
  const driver = createFuseNativeDriver({ ...CLOCK, log: silentLogger });
  const options = { mountpoint, sourceName: "test", allowOther: false };
  await assert.rejects(driver.mount(new MemoryFileSystem(), options), (error) => {
    assert.ok(isPsyncError(error, "ERR_PSYNC_MOUNT"), String(error));
    assert.match(error.message, message);
    return true;
  });
}

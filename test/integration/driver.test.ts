import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { PsyncError } from "../../src/core/errors.js";
import { fold } from "../../src/mount/driver/inodeNumbers.js";
import { findMount } from "../../src/core/mountTable.js";
import { MemoryFileSystem } from "../support/memoryFileSystem.js";
import { run, skipReason, withMount } from "../support/mounting.js";
import { until } from "../support/until.js";

const TIB = 2 ** 40;

describe("the fuse-native driver", { skip: skipReason() }, () => {
  it("a mount shows in the kernel's table under psync's type and the source's name", async () => {
    const mounted = async ({ folder }: { readonly folder: string }): Promise<void> => {
      const entry = await findMount(folder);
      assert.equal(entry?.type, "fuse.psync");
      assert.equal(entry.source, "my lists = 2");
    };
    await withMount(new MemoryFileSystem(), mounted, { sourceName: "my lists = 2" });
  });

  it("libfuse's threads, the calls under way and the open files can be counted", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "content");
    await withMount(files, async ({ mount, path }) => {
      const file = await open(path("a"));
      const { threads = 0, openFiles, pendingCalls } = mount.metrics();
      await file.close();
      assert.ok(threads >= 1 && threads < 100, `${threads} threads`);
      assert.deepEqual([openFiles, pendingCalls], [1, 0]);
    });
  });

  it("a mountpoint's name is never read by a shell", async () => {
    const base = await mkdtemp(join(tmpdir(), "psync-driver-"));
    const mountpoint = join(base, "$(touch x) `touch y`\n'\"; -u");
    await mkdir(mountpoint);
    try {
      const files = new MemoryFileSystem();
      files.put("/a", "content");
      const test = async ({ path }: { readonly path: (name: string) => string }): Promise<void> => {
        assert.equal(await readFile(path("a"), "utf8"), "content");
      };
      await withMount(files, test, { mountpoint });
      assert.deepEqual(await readdir(base), [mountpoint.slice(base.length + 1)]);
      assert.equal(await findMount(mountpoint), undefined);
      for (const made of ["x", "y"]) await assert.rejects(stat(made));
    } finally {
      await rm(base, { recursive: true });
    }
  });

  it("no read has a deadline of fuse-native's own", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "late but right");
    const real = globalThis.setTimeout;
    const delays: unknown[] = [];
    let finish = (): void => undefined;
    files.onRead = () =>
      new Promise((resolve) => {
        finish = () => {
          resolve([Buffer.from("late but right")]);
        };
      });
    globalThis.setTimeout = new Proxy(real, {
      apply(target, self, args: Parameters<typeof real>) {
        delays.push(args[1]);
        return Reflect.apply(target, self, args);
      },
    });
    try {
      await withMount(files, async ({ path, mount }) => {
        const reading = run("cat", path("a"));
        await until("the read is pending", () => files.reads === 1);
        assert.equal(mount.metrics()["pendingCalls"], 1);
        finish();
        assert.equal((await reading).stdout, "late but right");
      });
    } finally {
      globalThis.setTimeout = real;
    }
    assert.ok(!delays.includes(15_000), String(delays));
  });

  it("a failing read is answered once, with its errno, and the next one works", async () => {
    const files = new MemoryFileSystem();
    const failures = new Map<string, () => Promise<readonly Uint8Array[]>>([
      ["thrown: EIO", () => assert.fail("thrown")],
      ["rejected: EIO", () => Promise.reject(new Error("rejected"))],
      ["too long: EIO", () => Promise.resolve([new Uint8Array(2 ** 20)])],
      [
        "system: EIO",
        () => Promise.reject(Object.assign(new Error("x"), { errno: 2, code: "ENOENT" })),
      ],
      [
        "deadline: ETIMEDOUT",
        () => Promise.reject(new PsyncError("ERR_PSYNC_DEADLINE", "too slow")),
      ],
    ]);
    for (const name of failures.keys()) files.put(`/${name}`, "content");
    files.put("/good", "content");
    await withMount(files, async ({ path }) => {
      files.onRead = (name) => failures.get(name.slice(1))?.();
      for (const name of failures.keys()) {
        const { stderr, code } = await run("cat", path(name));
        assert.equal(code, 1);
        const text = name.endsWith("EIO") ? "Input/output error" : "Connection timed out";
        assert.equal(stderr, `cat: '${path(name)}': ${text}\n`);
        assert.equal((await run("cat", path("good"))).stdout, "content");
      }
    });
  });

  it("unmounting lazily leaves a pending read alone; what is not served any more is EIO at once", async () => {
    const files = new MemoryFileSystem();
    files.put("/slow", "slow");
    files.put("/good", "good");
    let finish: ((pieces: readonly Uint8Array[]) => void) | undefined;
    let seen: AbortSignal | undefined;
    files.onRead = (path, signal) => {
      if (path !== "/slow") return undefined;
      seen = signal;
      return new Promise((resolve) => (finish = resolve));
    };
    await withMount(files, async ({ path, mount }) => {
      const good = await open(path("good"));
      const reading = run("cat", path("slow"));
      await until("the read is pending", () => finish !== undefined);
      await mount.unmount({ lazy: true });
      assert.equal(seen?.aborted, false);
      // Files that were open are served on until they are closed.
      assert.equal(await good.readFile("utf8"), "good");
      mount.stopServing();
      assert.match((await reading).stderr, /Input\/output error/);
      assert.equal(seen.aborted, true);
      finish?.([Buffer.from("slow")]);
      await good.close();
      await mount.closed;
    });
    assert.equal(files.opened.size, 0);
  });

  it("a busy mount stays and serves on, and the error names who holds it", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "content");
    files.put("/slow", "slow");
    let finish: ((pieces: readonly Uint8Array[]) => void) | undefined;
    let seen: AbortSignal | undefined;
    files.onRead = (path, signal) => {
      if (path !== "/slow") return undefined;
      seen = signal;
      return new Promise((resolve) => (finish = resolve));
    };
    await withMount(files, async ({ path, mount }) => {
      const handle = await open(path("a"));
      const reading = run("cat", path("slow"));
      await until("the read is pending", () => finish !== undefined);
      try {
        await assert.rejects(mount.unmount({ lazy: false }), (error: PsyncError) => {
          assert.equal(error.code, "ERR_PSYNC_MOUNT");
          assert.ok(error.details.some((line) => line.includes(`(${process.pid}): open file`)));
          return true;
        });
        assert.equal(mount.openFiles(), 2);
        assert.equal(seen?.aborted, false);
        finish?.([Buffer.from("slow")]);
        assert.equal((await reading).stdout, "slow");
        assert.equal(await readFile(path("a"), "utf8"), "content");
      } finally {
        await handle.close();
      }
    });
  });

  it("names with newlines, of 255 bytes and of any script are listed and read", async () => {
    const files = new MemoryFileSystem();
    const names = ["new\nline", "x".repeat(255), "é".repeat(127), "数据.bin", "🙂", " ", "a,b\\c"];
    for (const name of names) files.put(`/${name}`, name);
    await withMount(files, async ({ folder, path }) => {
      assert.deepEqual((await readdir(folder)).sort(), names.toSorted());
      for (const name of names) assert.equal(await readFile(path(name), "utf8"), name);
    });
  });

  it("a file above 4 TiB has its size, and can be read at its end", async () => {
    const files = new MemoryFileSystem();
    const sizeBytes = 5 * TIB + 3;
    const bytes = (offset: number, length: number): Uint8Array =>
      Uint8Array.from({ length }, (_, index) => (offset + index) % 251);
    files.put("/big", "", { sizeBytes, bytes });
    await withMount(files, async ({ path }) => {
      const { size, blocks } = await stat(path("big"));
      assert.equal(size, sizeBytes);
      assert.ok(blocks * 512 >= sizeBytes);
      const { stdout } = await run("sh", "-c", 'tail -c 5 "$1" | od -An -tu1', "sh", path("big"));
      const end = [...bytes(sizeBytes - 5, 5)];
      assert.deepEqual(stdout.trim().split(/\s+/).map(Number), end);
    });
  });

  it("100,000 names are listed with their types, without asking for each", async () => {
    const files = new MemoryFileSystem();
    const entries = Array.from({ length: 100_000 }, (_, index) => ({
      name: `name-${index}`,
      kind: index % 10 === 0 ? ("folder" as const) : ("file" as const),
      inode: index + 10,
    }));
    files.folders.set("/", entries);
    let asked = 0;
    const attributes = files.attributes.bind(files);
    files.attributes = (path) => {
      asked += 1;
      return attributes(path);
    };
    await withMount(files, async ({ folder }) => {
      const { stdout } = await run(
        "perl",
        "-e",
        `opendir(my $d, $ARGV[0]) or die; print scalar(grep { !/^\\.\\.?$/ } readdir $d)`,
        folder,
      );
      assert.equal(Number(stdout), entries.length);
      const found = await readdir(folder, { withFileTypes: true });
      assert.equal(found.filter((entry) => entry.isFile()).length, 90_000);
      assert.equal(found.filter((entry) => entry.isDirectory()).length, 10_000);
    });
    assert.ok(asked < 100, `${asked} attributes were asked for`);
  });

  it("inodes and block counts are the same over remounts", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "x".repeat(513), { inode: 2 ** 52 + 17 });
    files.put("/b", "x", { inode: 2 ** 51 + 99 });
    const seen: string[] = [];
    for (const names of [
      ["a", "b"],
      ["b", "a"],
    ]) {
      await withMount(files, async ({ path }) => {
        await stat(path(names[0] ?? ""));
        const [a, b] = await Promise.all([stat(path("a")), stat(path("b"))]);
        assert.notEqual(a.ino, b.ino);
        assert.deepEqual([a.blocks, a.nlink, b.blocks], [2, 1, 1]);
        seen.push(`${a.ino} ${b.ino}`);
      });
    }
    assert.equal(seen[0], seen[1]);
  });

  it("TREE-4: a listing tells the inode that stat tells", async () => {
    const files = new MemoryFileSystem();
    // The first two would be one number in 32 bits.
    for (const [index, inode] of [2 ** 32 + 7, fold(2 ** 32 + 7), 2 ** 52 + 17, 9].entries()) {
      files.put(`/f${index}`, "x", { inode });
    }
    files.folders.set("/", [{ name: "d", kind: "folder", inode: 50 }]);
    files.folders.set("/d", []);
    await withMount(files, async ({ folder }) => {
      const { stdout, stderr } = await run("perl", "-e", LISTED_INODES, folder);
      assert.equal(stderr, "");
      const lines = stdout.trim().split("\n");
      assert.equal(lines.length, 5);
      for (const line of lines) assert.match(line, /^\S+ (\d+) \1$/);
      assert.equal(new Set(lines.map((line) => line.split(" ")[1])).size, 5);
    });
  });

  it("the file system's size does not wrap around", async () => {
    await withMount(new MemoryFileSystem(), async ({ folder }) => {
      const { stdout } = await run("stat", "-f", "-c", "%S %b %l", folder);
      const [unit, blocks, nameLength] = stdout.trim().split(" ").map(Number);
      assert.equal((unit ?? 0) * (blocks ?? 0), 4096 * TIB);
      assert.equal(nameLength, 255);
    });
  });

  it("copying with all attributes and listing long are quiet", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "content");
    const target = await mkdtemp(join(tmpdir(), "psync-driver-"));
    try {
      await withMount(files, async ({ folder, path }) => {
        const results = [await run("cp", "-a", path("a"), target), await run("ls", "-la", folder)];
        assert.deepEqual(
          results.map(({ code, stderr }) => [code, stderr]),
          [
            [0, ""],
            [0, ""],
          ],
        );
        const listed = await run("perl", "-e", LIST_ATTRIBUTES, path("a"));
        assert.equal(listed.stdout, "0 0");
      });
    } finally {
      await chmod(join(target, "a"), 0o644);
      await rm(target, { recursive: true });
    }
  });
});

/** getdents64(2), and lstat(2) of each name. Source: getdents(2), struct linux_dirent64. */
const LISTED_INODES = `opendir(my $d, $ARGV[0]) or die; my $b = "\\0" x 65536;
  sysopen(my $f, $ARGV[0], 0200000) or die "open: $!"; my $n = syscall(217, fileno($f), $b, 65536);
  for (my $at = 0; $at < $n;) { my ($ino, undef, $len, undef) = unpack("Q q S C", substr($b, $at, 19));
    my $name = unpack("Z*", substr($b, $at + 19, $len - 19)); $at += $len; next if $name =~ /^\\.\\.?$/;
    print "$name $ino ", (lstat "$ARGV[0]/$name")[1], "\\n" }`;

/** listxattr(2) with no room and with some: both find nothing. */
const LIST_ATTRIBUTES = `my $f = $ARGV[0]; my $b = "x" x 64;
  print syscall(194, $f, 0, 0), " ", syscall(194, $f, $b, 64);`;

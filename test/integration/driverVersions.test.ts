import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  type FileHandle,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MemoryFileSystem } from "../support/memoryFileSystem.js";
import { run, skipReason, type TestMount, withMount } from "../support/mounting.js";
import { until } from "../support/until.js";

const SIZE = 300_000;

function content(version: number): Buffer {
  return Buffer.alloc(SIZE, `version ${version};`);
}

async function readAll(handle: FileHandle): Promise<Buffer> {
  const target = Buffer.alloc(SIZE + 1);
  const { bytesRead } = await handle.read(target, 0, target.length, 0);
  return target.subarray(0, bytesRead);
}

describe("versions of a mounted file", { skip: skipReason() }, () => {
  it("CHANGE-1, CHANGE-2: a changed file gets a new node: the old handles keep their bytes and their size", async () => {
    const files = new MemoryFileSystem();
    await withMount(files, async ({ path, logged }) => {
      const opened: { version: number; handle: FileHandle }[] = [];
      try {
        for (let version = 1; version <= 12; version += 1) {
          // Same size, same mtime: only the version tells.
          files.put("/a", content(version));
          opened.push({ version, handle: await open(path("a")) });
          for (const { version: expected, handle } of opened) {
            assert.ok((await readAll(handle)).equals(content(expected)), `version ${expected}`);
            assert.equal((await handle.stat()).size, SIZE);
          }
        }
      } finally {
        for (const { handle } of opened) await handle.close();
      }
      assert.deepEqual(logged, []);
    });
    assert.equal(files.opened.size, 0);
  });

  it("parallel opens of a changed file all get the new version", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(0));
    await withMount(files, async ({ path, logged }) => {
      const script = `for (1..20) { open(my $f, "<", $ARGV[0]) or die "open: $!"; push @f, $f }
        for (@f) { read $_, my $b, 400000; print length($b), substr($b, 0, 12), "\\n" }`;
      for (let version = 1; version <= 10; version += 1) {
        files.put("/a", content(version));
        const results = await Promise.all(
          [1, 2, 3].map(() => run("perl", "-e", script, path("a"))),
        );
        const line = `${SIZE}${content(version).toString("latin1", 0, 12)}\n`;
        for (const result of results) assert.equal(result.stdout + result.stderr, line.repeat(20));
      }
      assert.deepEqual(logged, []);
    });
  });

  it("CHANGE-2: a mapping of the old version stays what it was", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(1));
    await withMount(files, async ({ path }) => {
      const script = `open(my $f, "<:mmap", $ARGV[0]) or die; $| = 1; read $f, my $first, 1;
        open(my $m, "<", "/proc/self/maps"); print grep({ index($_, $ARGV[0]) >= 0 } <$m>) ? "maps\\n" : "none\\n";
        <STDIN>; local $/; print $first, <$f>;`;
      const child = spawn("perl", ["-e", script, path("a")]);
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
      await until("the child has it mapped or not", () => output.endsWith("\n"));
      assert.equal(output, "maps\n");
      files.put("/a", content(2).subarray(0, 1000));
      assert.equal((await readFile(path("a"))).length, 1000);
      child.stdin.end("\n");
      await until("the child ended", () => child.exitCode !== null);
      await until("all its output came", () => output.length >= SIZE + 5);
      assert.equal(output.slice(5), content(1).toString());
    });
  });

  it("pages stay when an unchanged file is opened again, and are not used for a changed one", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(1));
    await withMount(files, async ({ path }) => {
      assert.ok((await readFile(path("a"))).equals(content(1)));
      const reads = files.reads;
      assert.ok((await readFile(path("a"))).equals(content(1)));
      assert.equal(files.reads, reads);
      files.put("/a", content(2));
      assert.ok((await readFile(path("a"))).equals(content(2)));
    });
  });

  it("a file that grew or shrank after it was looked at is read whole", async () => {
    const files = new MemoryFileSystem();
    await withMount(files, async ({ path, logged }) => {
      for (const size of [10, 5000, 3, 300_000, 0, 77]) {
        const name = `f${size}`;
        files.put(`/${name}`, "x".repeat(100));
        assert.equal((await stat(path(name))).size, 100);
        files.put(`/${name}`, "y".repeat(size));
        const { stdout, stderr } = await run("cat", path(name));
        assert.equal(stderr, "");
        assert.equal(stdout, "y".repeat(size));
      }
      assert.deepEqual(logged, []);
    });
  });

  it("CHANGE-1, CHANGE-2: while an old handle is open, stat shows the new size soon and the handle keeps the old one", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(1));
    await withMount(files, async ({ path }) => {
      const handle = await open(path("a"));
      try {
        files.put("/a", "short");
        await until(
          "stat shows the new size",
          async () => (await stat(path("a"))).size === 5,
          4000,
        );
        assert.equal((await handle.stat()).size, SIZE);
        assert.ok((await readAll(handle)).equals(content(1)));
        assert.equal(await readFile(path("a"), "utf8"), "short");
      } finally {
        await handle.close();
      }
    });
  });

  it("a file that was removed goes away, and whoever has it open reads on", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(1));
    await withMount(files, async ({ path }) => {
      const handle = await open(path("a"));
      try {
        files.files.delete("/a");
        const gone = async (): Promise<boolean> =>
          stat(path("a")).then(
            () => false,
            () => true,
          );
        await until("the name is gone", gone, 4000);
        assert.ok((await readAll(handle)).equals(content(1)));
        assert.equal((await handle.stat()).size, SIZE);
      } finally {
        await handle.close();
      }
    });
  });

  it(
    "what was mounted over the mount is never renamed",
    { skip: process.getuid?.() !== 0 && "only root can mount over it" },
    async () => {
      const files = new MemoryFileSystem();
      files.put("/a", content(1));
      const real = await mkdtemp(join(tmpdir(), "psync-driver-"));
      await writeFile(join(real, "a"), "a real file");
      try {
        await withMount(files, async ({ folder, path, logged }) => {
          const handle = await open(path("a"));
          assert.equal((await run("mount", "--bind", real, folder)).code, 0);
          try {
            files.put("/a", "changed");
            await until("detaching was tried", () => logged.length > 0);
            assert.match(logged.join(), /not on the mount/);
            assert.deepEqual(await readdir(real), ["a"]);
            assert.ok((await readAll(handle)).equals(content(1)));
          } finally {
            await run("umount", folder);
            await handle.close();
          }
        });
      } finally {
        await rm(real, { recursive: true });
      }
    },
  );

  it("READ-3: a stalled read of a changed file holds up nobody else in its folder, and opens of it end in time", async () => {
    const files = new MemoryFileSystem();
    for (const name of ["/a", "/b", "/c"]) files.put(name, content(1));
    const openDeadlineMs = 1500;
    const test = async ({ path, folder }: TestMount): Promise<void> => {
      let answer: (() => void) | undefined;
      const gate = new Promise<void>((resolve) => (answer = resolve));
      const [old, other] = [await open(path("a")), await open(path("c"))];
      files.onRead = (name) =>
        name === "/a" ? gate.then(() => [content(1).subarray(0, 4096)]) : undefined;
      const reading = run("dd", `if=${path("a")}`, "bs=4096", "count=1", "iflag=direct");
      await until("the read is pending", () => files.reads > 0);
      files.put("/a", content(2));
      files.put("/c", content(2));
      const opening = run("sh", "-c", `for i in 1 2; do cat "$1" || exit 1; done`, "sh", path("a"));
      const startMs = performance.now();
      let rounds = 0;
      while (performance.now() - startMs < openDeadlineMs + 500) {
        const beforeMs = performance.now();
        await assert.rejects(stat(path(`nosuch-${rounds}`)), { code: "ENOENT" });
        assert.equal((await run("cat", path("b"))).code, 0);
        assert.equal((await run("ls", folder)).stdout, "a\nb\nc\n");
        if (rounds === 0) assert.equal(await readFile(path("c"), "utf8"), content(2).toString());
        assert.ok(performance.now() - beforeMs < 1000, `${performance.now() - beforeMs} ms`);
        rounds += 1;
      }
      const { stderr, code } = await opening;
      assert.equal(code, 1);
      assert.match(stderr, /Connection timed out/);
      files.onRead = () => undefined;
      answer?.();
      assert.equal((await reading).code, 0);
      assert.ok((await readFile(path("a"))).equals(content(2)));
      assert.ok((await readAll(old)).equals(content(1)));
      await old.close();
      await other.close();
    };
    await withMount(files, test, { openDeadlineMs });
  });

  it("where node's program is gone, the open of a changed file is EIO, and the mount lives", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(1));
    files.put("/b", "other");
    const program = process.execPath;
    process.execPath = "/none/node";
    try {
      await withMount(files, async ({ path, logged }) => {
        const handle = await open(path("a"));
        files.put("/a", content(2));
        assert.match((await run("cat", path("a"))).stderr, /Input\/output error/);
        assert.match(logged.join(), /ENOENT/);
        assert.equal((await run("cat", path("b"))).stdout, "other");
        assert.ok((await readAll(handle)).equals(content(1)));
        await handle.close();
      });
    } finally {
      process.execPath = program;
    }
  });

  it("an open waits for the old version's slow reads, and then shows the new one", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(1));
    await withMount(files, async ({ path, logged }) => {
      const old = files.files.get("/a");
      const read = files.read.bind(files);
      files.read = async (handle, range, signal) => {
        if (files.opened.get(handle)?.file === old) {
          await new Promise((resolve) => setTimeout(resolve, 60));
        }
        return read(handle, range, signal);
      };
      const reading = run("cat", path("a"));
      await until("the old version is being read", () => files.reads > 0);
      files.put("/a", content(2));
      const results = await Promise.all([1, 2, 3, 4].map(() => run("cat", path("a"))));
      for (const { stdout, stderr } of results)
        assert.equal(stdout + stderr, content(2).toString());
      assert.equal((await reading).stdout, content(1).toString());
      assert.deepEqual(logged, []);
    });
  });

  it("CHANGE-1, CHANGE-2: a file changed under constant reading is never mixed", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", content(0));
    await withMount(files, async ({ path, logged }) => {
      // Two changes within one open are ESTALE (116): the kernel looks a path up again only once.
      const script = `for (1..600) { open(my $f, "<", $ARGV[0]) or do { print "open: $!\\n" if $! != 116; next };
        my $b = ""; while (sysread $f, $b, 65536, length $b) {}
        my ($v) = $b =~ /^(?:[^;]*;)?version (\\d+);/; my $w = "version $v;";
        $seen{$v} = 1; print "mixed\\n" unless $b eq substr($w x (300000 / length($w) + 1), 0, 300000); }
        print "one version only\\n" if keys(%seen) < 5;`;
      const readers = [1, 2, 3].map(() => run("perl", "-e", script, path("a")));
      let version = 0;
      const timer = setInterval(() => {
        version += 1;
        files.put("/a", content(version));
      }, 25);
      const results = await Promise.all(readers);
      clearInterval(timer);
      assert.deepEqual(
        results.map(({ stdout, stderr }) => stdout + stderr),
        ["", "", ""],
      );
      assert.deepEqual(logged, []);
    });
    assert.equal(files.opened.size, 0);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryFileSystem } from "../support/memoryFileSystem.js";
import { run, skipReason, withMount } from "../support/mounting.js";

/** Each a piece of Perl that is true when the change was made; `$m` is the mountpoint. */
const CHANGES: Readonly<Record<string, string>> = {
  mkdir: "mkdir qq($m/new)",
  "rmdir of a folder": "rmdir qq($m/folder)",
  unlink: "unlink qq($m/a)",
  "unlink of an open file": "open(my $f, '<', qq($m/a)) && unlink qq($m/a)",
  rename: "rename qq($m/a), qq($m/b)",
  "rename over a file": "rename qq($m/a), qq($m/c)",
  "rename to a detached node's name": "rename qq($m/a), qq($m/.psync-old-1)",
  link: "link qq($m/a), qq($m/b)",
  symlink: "symlink qq(a), qq($m/b)",
  chmod: "chmod 0644, qq($m/a)",
  chown: "chown 1, 1, qq($m/a)",
  "utimens to now": "utime undef, undef, qq($m/a)",
  "utimens to a time": "utime 1, 2, qq($m/a)",
  truncate: "truncate qq($m/a), 0",
  "open for writing": "sysopen my $f, qq($m/a), 1",
  "open for reading and writing": "sysopen my $f, qq($m/a), 2",
  "open with O_TRUNC": "sysopen my $f, qq($m/a), 01000",
  "append to a file": "open my $f, '>>', qq($m/a)",
  "create a file": "sysopen my $f, qq($m/new), 0101",
  "create a file for reading": "sysopen my $f, qq($m/new), 0100",
  mknod: "POSIX::mkfifo(qq($m/new), 0600)",
  setxattr: "0 == syscall(188, my $p = qq($m/a), my $n = qq(user.x), my $v = qq(v), 1, 0)",
  "setxattr of nothing":
    "0 == syscall(188, my $p = qq($m/a), my $n = qq(user.x), my $v = qq(v), 0, 0)",
  removexattr: "0 == syscall(197, my $p = qq($m/a), my $n = qq(user.x))",
};

/** An unnamed file: libfuse 2 does not know the request, and the kernel says so itself. */
const TMPFILE = "sysopen my $f, $m, 020200002, 0600";

describe("a mount is read-only", { skip: skipReason() }, () => {
  it("RO-1: every change is EROFS, whoever makes it, and nothing changes", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "content");
    files.put("/c", "content");
    files.folders.set("/folder", []);
    files.folders.set("/", [{ name: "folder", kind: "folder", inode: 50 }]);
    await withMount(files, async ({ folder, logged }) => {
      const script = Object.entries({ ...CHANGES, tmpfile: TMPFILE })
        .map(
          ([name, change]) => `$! = 0; print "${name}: ", ((${change}) ? "done" : $! + 0), "\\n";`,
        )
        .join("\n");
      const { stdout, stderr } = await run(
        "perl",
        "-MPOSIX",
        "-e",
        `$m = $ARGV[0]; ${script}`,
        folder,
      );
      const expected = [...Object.keys(CHANGES).map((name) => `${name}: 30`), "tmpfile: 95"];
      assert.deepEqual(stdout.trim().split("\n"), expected, stderr);
      assert.deepEqual(logged, []);
    });
    assert.equal(files.opened.size, 0);
  });

  it("RO-1: access says what can be done: reading yes, writing never, executing where there is an exec bit", async () => {
    const files = new MemoryFileSystem();
    files.put("/plain", "content");
    files.put("/tool", "#!/bin/sh\necho ran\n", { permissions: 0o555 });
    await withMount(files, async ({ folder }) => {
      const { stdout } = await run(
        "perl",
        "-MPOSIX",
        "-e",
        `chdir $ARGV[0]; for my $n (".", "plain", "tool") { for my $m (4, 2, 1) {
           $! = 0; print "$n $m: ", (POSIX::access($n, $m) ? 0 : $! + 0), "\n" } } print qx(./tool);`,
        folder,
      );
      assert.deepEqual(stdout.trim().split("\n"), [
        ". 4: 0",
        ". 2: 30",
        ". 1: 0",
        "plain 4: 0",
        "plain 2: 30",
        "plain 1: 13",
        "tool 4: 0",
        "tool 2: 30",
        "tool 1: 0",
        "ran",
      ]);
    });
  });

  it("reading a file that exists with O_CREAT is reading", async () => {
    const files = new MemoryFileSystem();
    files.put("/a", "content");
    await withMount(files, async ({ path }) => {
      const script = "sysopen(my $f, $ARGV[0], 0100) or die $!; print <$f>";
      assert.equal((await run("perl", "-e", script, path("a"))).stdout, "content");
    });
  });
});

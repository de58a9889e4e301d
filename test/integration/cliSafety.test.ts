import { strict as assert } from "node:assert";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { promisify } from "node:util";
import { seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, PSYNC, psyncOk, startPsync } from "../support/cli.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

async function fixture(t: TestContext) {
  const folder = await tempFolder(t);
  const store = join(folder, "store");
  const bytes = seededBytes("safety", 5 * MIB + 17);
  const file = join(folder, "data");
  const list = join(folder, "data.hashlist");
  await writeFile(file, bytes);
  await psyncOk(["export", file, "-o", list], { store });
  return { folder, store, bytes, file, list };
}

describe("what is the user's stays", () => {
  it("EXPORT-2: a symlink never takes the place of a file, and two things never one name", async (t) => {
    const { folder, store } = await fixture(t);
    const [from, out] = [join(folder, "from"), join(folder, "out")];
    await mkdir(from);
    await mkdir(out);
    await symlink("nowhere", join(from, "thesis"));
    await writeFile(join(out, "thesis"), "precious");
    await writeFile(join(from, "x"), "x");
    await symlink("elsewhere", join(from, "x.hashlist"));
    const { status, stderr } = await psync(["export", from, "-o", out], { store });
    assert.equal(status, 1);
    assert.match(stderr, /thesis is there and is not a symlink/);
    assert.match(stderr, /x\.hashlist would become .*x\.hashlist, as another file did/);
    assert.equal(await readFile(join(out, "thesis"), "utf8"), "precious");
    assert.match(await readFile(join(out, "x.hashlist"), "utf8"), /^[0-9a-f]{64}\n/);
    // A symlink of an earlier run is replaced.
    await rm(join(from, "thesis"));
    await rm(join(from, "x.hashlist"));
    for (const target of ["one", "two"]) {
      await rm(join(from, "link"), { force: true });
      await symlink(target, join(from, "link"));
      await psyncOk(["export", from, "-o", out], { store });
    }
    assert.ok((await lstat(join(out, "link"))).isSymbolicLink());
  });

  it("EXPORT-2: two paths of one name are refused before anything is written", async (t) => {
    const { folder, store } = await fixture(t);
    for (const name of ["a", "b"]) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, "same"), name);
    }
    const paths = [join(folder, "a/same"), join(folder, "b/same")];
    const out = join(folder, "out");
    const { status, stderr } = await psync(["export", ...paths, "-o", out], { store });
    assert.equal(status, 2);
    assert.match(stderr, /two of the paths are named same/);
    await assert.rejects(stat(out), { code: "ENOENT" });
  });

  it("EXPORT-2: a list never goes through a symlink onto another file", async (t) => {
    const { folder, store } = await fixture(t);
    const notes = join(folder, "notes.txt");
    await writeFile(notes, "precious");
    await symlink(notes, join(folder, "out.hashlist"));
    await psyncOk(["export", "-o", join(folder, "out.hashlist")], { store, input: "x" });
    const [from, out] = [join(folder, "from"), join(folder, "out")];
    await mkdir(from);
    await symlink(notes, join(from, "a.hashlist"));
    await psyncOk(["export", from, "-o", out], { store });
    await rm(join(from, "a.hashlist"));
    await writeFile(join(from, "a"), "a");
    await psyncOk(["export", from, "-o", out], { store });
    assert.equal(await readFile(notes, "utf8"), "precious");
    assert.ok((await lstat(join(out, "a.hashlist"))).isFile());
  });

  it("GLUE-1: a device or a pipe is not replaced, a symlink is followed, and a file keeps its mode", async (t) => {
    const { folder, store, bytes, list } = await fixture(t);
    const pipe = join(folder, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const refused = await psync(["glue", list, "-o", pipe], { store });
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /is not an ordinary file/);
    assert.ok((await stat(pipe)).isFIFO());
    const target = join(folder, "target");
    await writeFile(target, "old");
    await chmod(target, 0o640);
    await symlink("target", join(folder, "link"));
    await psyncOk(["glue", list, "-o", join(folder, "link")], { store });
    assert.ok((await lstat(join(folder, "link"))).isSymbolicLink());
    assert.deepEqual(await readFile(target), bytes);
    assert.equal((await stat(target)).mode & 0o777, 0o640);
    await symlink("not-yet", join(folder, "dangling"));
    await psyncOk(["glue", list, "-o", join(folder, "dangling")], { store });
    assert.ok((await lstat(join(folder, "dangling"))).isSymbolicLink());
    assert.deepEqual(await readFile(join(folder, "not-yet")), bytes);
  });

  it("EXPORT-1: a file that is rewritten with its old size and mtime gives no list either", async (t) => {
    const { folder, store } = await fixture(t);
    const file = join(folder, "rewritten");
    await writeFile(file, Buffer.alloc(64 * MIB));
    const out = join(folder, "out.hashlist");
    const state = { over: false };
    const exporting = psync(["export", file, "-o", out], { store }).finally(() => {
      state.over = true;
    });
    while (!state.over) {
      await utimes(file, 1e9, 1e9);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match((await exporting).stderr, /changed while it was read/);
    await assert.rejects(stat(out), { code: "ENOENT" });
  });
});

describe("blocks that are not whole", () => {
  for (const plain of [false, true]) {
    it(`KEEP-2: a last block that was cut short is fetched again (${plain ? "plain list" : "trailer"})`, async (t) => {
      const { folder, store, bytes, list } = await fixture(t);
      if (plain) {
        const text = await readFile(list, "utf8");
        await writeFile(list, text.slice(0, text.indexOf("\n\n") + 1));
      }
      const server = await startPsync(["serve", "localhost:0"], { store });
      cleanUp(t, () => server.stop());
      const ours = join(folder, "ours");
      await psyncOk(["get", server.firstLine, list], { store: ours });
      const last = (await readFile(list, "utf8")).split("\n")[2] ?? "";
      await truncate(join(ours, "blocks", last), 1000);
      if (!plain) {
        const [info] = JSON.parse(await psyncOk(["info", "--json", list], { store: ours })) as [
          { readonly missingCount: number },
        ];
        assert.equal(info.missingCount, 1);
      }
      const { stderr } = await psync(["get", server.firstLine, list], { store: ours });
      assert.match(stderr, /2 there already, 1 fetched/);
      assert.deepEqual((await psync(["glue", list], { store: ours })).stdout, bytes);
    });
  }
});

describe("a command that is stopped", () => {
  for (const args of [
    ["export", "-v"],
    ["glue", "-v"],
    ["get", "http://127.0.0.1:1", "-v"],
    ["info", "-", "-v"],
  ]) {
    it(`CLI-2: ${args[0] ?? ""} ends at a signal with 130 also while it waits for stdin`, async (t) => {
      const store = join(await tempFolder(t), "store");
      const child = spawn(process.execPath, [PSYNC, ...args], {
        env: { ...process.env, PSYNC_STORE: store },
        stdio: ["pipe", "ignore", "pipe"],
      });
      const ended = once(child, "exit");
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      await until("it reads stdin", () => said.includes("reading from stdin"));
      child.kill("SIGTERM");
      await ended;
      assert.equal(child.exitCode, 130);
    });
  }

  it("CLI-2: a signal ends a command that waits for a pipe to be opened", async (t) => {
    const folder = await tempFolder(t);
    const pipe = join(folder, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const env = { ...process.env, PSYNC_STORE: join(folder, "store") };
    const child = spawn(process.execPath, [PSYNC, "info", pipe], { env, stdio: "ignore" });
    const ended = once(child, "exit");
    await until("it opens the pipe", async () => {
      const threads = await readdir(`/proc/${child.pid ?? 0}/task`);
      const waits = threads.map((id) =>
        readFile(`/proc/${child.pid ?? 0}/task/${id}/wchan`, "utf8"),
      );
      return (await Promise.all(waits)).some((wait) => /fifo|wait_for_partner/.test(wait));
    });
    child.kill("SIGTERM");
    await ended;
    assert.ok(child.exitCode === 130 || child.signalCode === "SIGTERM");
  });

  it("LIST-1: a list can come from a pipe with a name", async (t) => {
    const { folder, store, list, bytes } = await fixture(t);
    const pipe = join(folder, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const gluing = psync(["glue", pipe], { store });
    await writeFile(pipe, await readFile(list));
    assert.deepEqual((await gluing).stdout, bytes);
  });
});

describe("a mistake", () => {
  it("CLI-2: is never an internal error", async (t) => {
    const { folder, store, file, list } = await fixture(t);
    await writeFile(join(folder, "file"), "");
    const cases: readonly (readonly [readonly string[], number])[] = [
      [["export", "-o", "/nonexistent/x.hashlist"], 1],
      [["export", file, list, "-o", join(folder, "file")], 1],
      [["export", file, "-o", "a", "-o", "b"], 2],
      [["glue", list, "-o", "/nonexistent/x"], 1],
      [["glue", list, "-o", folder], 2],
      [["info", folder], 1],
      [["info", list, "--store", store, "--store", store], 2],
      [["export", folder, "-o", join(folder, "file", "x")], 1],
      [["mount", folder, folder, "--server"], 2],
      [["get", "htp://127.0.0.1", list], 2],
      [["glue", list, "-o", join(folder, "none", "x")], 1],
    ];
    for (const [args, expected] of cases) {
      const { status, stderr } = await psync(args, { store, input: "x" });
      assert.equal(status, expected, `${args.join(" ")}: ${stderr}`);
      assert.doesNotMatch(stderr, /internal error/);
      assert.match(stderr, /^psync: /m);
    }
    assert.ok(!(await readdir(folder)).some((name) => name.endsWith(".tmp")));
  });
});

describe("names", () => {
  it("LIST-5: a path where nothing is ends every command with status 1, and changes nothing", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const list = join(folder, "list");
    await writeFile(list, await psyncOk(["export"], { store, input: "text" }));
    const missing = join(folder, "missing");
    for (const args of [
      ["gc", "--yes", "--keep", missing],
      ["gc", "--yes", "--keep", join(list, "below a file")],
      ["check", "--offline", missing],
      ["pin", missing],
      ["unpin", missing],
      ["unpin", list, "--keep", missing],
      ["fsck", "--lists", missing],
      ["info", missing],
    ]) {
      const { status, stderr } = await psync(args, { store });
      assert.equal(status, 1, `${args.join(" ")}: ${stderr}`);
      assert.ok(stderr.includes(args.at(-1) ?? ""), stderr);
    }
    assert.equal((await readdir(join(store, "blocks"))).length, 1);
  });

  it("PIN-1: without a server each block that lacks is named once, with what would help", async (t) => {
    const folder = await tempFolder(t);
    const list = join(folder, "list");
    const hash = "ab".repeat(32);
    await writeFile(list, `${hash}\n`);
    const { status, stderr } = await psync(["pin", list], { store: join(folder, "store") });
    assert.equal(status, 4, stderr);
    assert.equal(stderr.split(hash).length, 2, stderr);
    assert.match(stderr, /1 of 1 block could not be had: no server is named$/m);
    assert.match(stderr, /^hint: .*--server URL$/m);
  });

  it("CLI-2: an empty path is status 2, and the option that has it is named", async (t) => {
    const store = await tempFolder(t);
    const cases: readonly (readonly [readonly string[], RegExp])[] = [
      [["--store", "", "info", "list"], /^psync: --store is empty$/m],
      [["export", "file", "-o", ""], /^psync: (-o|--output) is empty$/m],
      [["get", "--seed", "", "list"], /^psync: --seed is empty$/m],
      [["export", "file", ""], /^psync: path is empty$/m],
      [["mount", "", "mnt"], /^psync: lists is empty$/m],
      [["fsck", "--lists", "lists", ""], /^psync: --lists is empty$/m],
      [["gc", "--keep", ""], /^psync: --keep is empty$/m],
      [["umount", ""], /^psync: mountpoint is empty$/m],
    ];
    for (const [args, message] of cases) {
      const { status, stderr } = await psync(args, { store, input: "x" });
      assert.equal(status, 2, `${args.join(" ")}: ${stderr}`);
      assert.match(stderr, message);
    }
    assert.deepEqual(await readdir(store), []);
  });

  it("CLI-2: a size that is none is told with its option", async (t) => {
    const store = await tempFolder(t);
    for (const [args, option] of [
      [["export", "--block-size", "abc"], "--block-size"],
      [["mount", store, store, "--cache-size", "abc"], "--cache-size"],
    ] as const) {
      const { status, stderr } = await psync(args, { store });
      assert.equal(status, 2, stderr);
      assert.match(stderr, new RegExp(`^psync: ${option}: not a size: "abc"$`, "m"));
    }
  });

  it("CLI-2: after -- a name may begin with a dash", async (t) => {
    const { folder, store } = await fixture(t);
    await writeFile(join(folder, "-dash"), "dash");
    const lists = await psyncOk(["export", "--", "-dash"], { store, cwd: folder });
    assert.match(lists, /^[0-9a-f]{64}\n$/);
  });

  it("CLI-2: a full disk behind stdout is told as what it is", async (t) => {
    const { store, list } = await fixture(t);
    const command = `node "$PSYNC" glue "$LIST" > /dev/full`;
    const env = { ...process.env, PSYNC, LIST: list, PSYNC_STORE: store };
    await assert.rejects(
      promisify(execFile)("bash", ["-c", command], { env }),
      (error: unknown) => {
        const { code, stderr } = error as { code: number; stderr: string };
        assert.equal(code, 1);
        assert.match(stderr, /^psync: .*ENOSPC/);
        assert.doesNotMatch(stderr, /internal error/);
        return true;
      },
    );
  });

  it("CLI-2: export into a pipe that is closed ends quietly", async (t) => {
    const { store, file } = await fixture(t);
    const command = `node "$PSYNC" export "$FILE" | head -n 1 | wc -l; echo "\${PIPESTATUS[0]}"`;
    const env = { ...process.env, PSYNC, FILE: file, PSYNC_STORE: store };
    const { stdout, stderr } = await promisify(execFile)("bash", ["-c", command], { env });
    assert.match(stdout, /^1\n(0|141)\n$/);
    assert.equal(stderr, "");
  });
});

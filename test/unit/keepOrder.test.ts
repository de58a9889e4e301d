/** What is said to be kept has been synced, in the order that a power cut asks for. */
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { PSYNC } from "../support/cli.js";
import { hasStrace, makeBlock } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { straced, type SystemCall } from "../support/straced.js";

const WORKER = fileURLToPath(new URL("../support/storeWorker.js", import.meta.url));
const SYNCS = ["fdatasync", "fsync", "rename"];
const node = (task: string, path: string, count: number): readonly string[] => [
  process.execPath,
  ...[WORKER, task, path, "0", String(count)],
];

/** The only call of that name whose arguments hold the text. */
function only(calls: readonly SystemCall[], name: string, text: string): SystemCall {
  const found = calls.filter((call) => call.name === name && call.args.includes(text));
  assert.equal(found.length, 1, `${name} of ${text}: ${found.length} times`);
  return found[0] as SystemCall;
}

function assertOrder(...calls: readonly SystemCall[]): void {
  for (const [i, call] of calls.entries()) {
    assert.match(call.result, /^0/, `${call.name}(${call.args})`);
    const before = calls[i - 1];
    if (before)
      assert.ok(before.end < call.begin, `${before.name} ends before ${call.name} begins`);
  }
}

describe("keeping blocks", { skip: hasStrace ? false : "there is no strace" }, () => {
  it("KEEP-1: syncs each file, renames it, and syncs the folder once a batch", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const { calls } = await straced(folder, SYNCS, node("keep", path, 5));
    const folderSync = only(calls, "fsync", `<${join(path, "blocks")}>`);
    for (let i = 0; i < 5; i += 1) {
      const rename = only(calls, "rename", join(path, "blocks", makeBlock(i, 16_384).hash));
      const temp = /^"([^"]+)"/.exec(rename.args)?.[1] ?? "";
      assert.ok(temp.startsWith(join(path, "tmp/")));
      assertOrder(only(calls, "fdatasync", `<${temp}>`), rename, folderSync);
    }
  });

  it("KEEP-1: syncs what is kept already, since somebody else may have put it there", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const { calls } = await straced(folder, SYNCS, node("keep twice", path, 1));
    const kept = join(path, "blocks", makeBlock(0, 16_384).hash);
    const folderSyncs = calls.filter(
      (call) => call.name === "fsync" && call.args.includes(`<${join(path, "blocks")}>`),
    );
    const [first, second] = folderSyncs;
    assert.ok(first && second && folderSyncs.length === 2);
    assertOrder(only(calls, "rename", kept), first, only(calls, "fdatasync", `<${kept}>`), second);
  });

  it("KEEP-2: get syncs what is kept already, and the folder after it, before it ends", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const list = join(folder, "list");
    const blocks = Array.from({ length: 3 }, (_, i) => makeBlock(i, 2 * 1024 * 1024));
    await mkdir(join(store, "blocks"), { recursive: true });
    // As another process leaves it that has renamed them and not synced yet.
    for (const { hash, bytes } of blocks) await writeFile(join(store, "blocks", hash), bytes);
    await writeFile(list, blocks.map(({ hash }) => `${hash}\n`).join(""));
    const get = [PSYNC, "--store", store, "get", "http://127.0.0.1:1", list];
    const { calls } = await straced(folder, SYNCS, [process.execPath, ...get]);
    const folderSync = only(calls, "fsync", `<${join(store, "blocks")}>`);
    for (const { hash } of blocks) {
      assertOrder(only(calls, "fdatasync", `<${join(store, "blocks", hash)}>`), folderSync);
    }
  });

  it("KEEP-2: a sync of what is kept that fails is final", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    await mkdir(join(path, "blocks"), { recursive: true });
    const block = makeBlock(0, 16_384);
    await writeFile(join(path, "blocks", block.hash), block.bytes);
    const fault = ["-e", "inject=fdatasync:error=EIO"];
    await assert.rejects(
      straced(folder, SYNCS, node("sync", path, 1), fault),
      /cannot sync .*: the disk reports an error \(EIO\)/,
    );
  });

  it("KEEP-1: pins by a sync, a link, a sync of the folder, and only then removes the cached name", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const names = [...SYNCS, "link", "unlink"];
    const { calls } = await straced(folder, names, node("pin", path, 1));
    const { hash } = makeBlock(0, 16_384);
    const cached = join(path, "cache", hash);
    assertOrder(
      only(calls, "fdatasync", `<${cached}>`),
      only(calls, "link", join(path, "blocks", hash)),
      only(calls, "fsync", `<${join(path, "blocks")}>`),
      only(calls, "unlink", cached),
    );
  });

  it("leaves nothing behind when a file cannot be synced", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const fault = ["-e", "inject=fdatasync:error=EIO"];
    const { stdout } = await straced(folder, SYNCS, node("keep twice", path, 3), fault);
    assert.match(stdout, /first: cannot write .*: the disk reports an error \(EIO\)\n/);
    assert.match(stdout, /second: cannot write .*: the disk reports an error \(EIO\)\n/);
    assert.deepEqual(await readdir(join(path, "blocks")), []);
    assert.deepEqual(await readdir(join(path, "tmp")), []);
  });

  it("KEEP-1: never tries a failed sync of the folder again until it succeeds", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const fault = ["-P", join(path, "blocks"), "-e", "inject=fsync:error=EIO"];
    const { stdout, calls } = await straced(folder, SYNCS, node("keep twice", path, 2), fault);
    assert.match(stdout, /first: cannot sync .*blocks: the disk reports an error \(EIO\)\n/);
    assert.match(stdout, /second: nothing more is kept in .* by this process: cannot sync/);
    assert.equal(calls.filter(({ name }) => name === "fsync").length, 1);
    assert.equal((await readdir(join(path, "blocks"))).length, 2);
  });

  it("KEEP-1: keeps nothing more after a sync that failed for a block that was restored", async (t) => {
    const folder = await tempFolder(t);
    const path = join(folder, "store");
    const fault = ["-P", join(path, "blocks"), "-e", "inject=fsync:error=EIO:when=1"];
    const command = node("restore, then keep", path, 2);
    const { stdout } = await straced(folder, SYNCS, command, fault);
    assert.match(stdout, /first: cannot sync .*blocks: the disk reports an error \(EIO\)\n/);
    assert.match(stdout, /second: nothing more is kept in .* by this process: cannot sync/);
    assert.equal((await readdir(join(path, "blocks"))).length, 1);
  });
});

import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isPsyncError } from "../../src/core/errors.js";
import { createLogger } from "../../src/core/log.js";
import { createFolderTree, createSingleListTree } from "../../src/mount/tree.js";

describe("the tree of a folder of lists", () => {
  let root = "";
  const messages: string[] = [];
  const log = createLogger((_level, message) => messages.push(message));
  const socket = createServer();

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "psync-tree-"));
    await mkdir(join(root, "a", "empty"), { recursive: true });
    await mkdir(join(root, "both"));
    for (const name of [
      "plain.hashlist",
      "a/b.iso.hashlist",
      "both.hashlist",
      "README.txt",
      ".hashlist",
      "name with space\nand newline ü 日本.hashlist",
    ]) {
      await writeFile(join(root, name), "");
    }
    await symlink("a/b.iso", join(root, "link"));
    await symlink("plain.hashlist", join(root, "alias.hashlist"));
    await symlink("nowhere.hashlist", join(root, "dangling.hashlist"));
    await symlink("a", join(root, "folderlink"));
    await new Promise<void>((resolve) => socket.listen(join(root, "socket"), resolve));
  });
  after(async () => {
    await new Promise((resolve) => socket.close(resolve));
    await rm(root, { recursive: true, force: true });
  });

  const isCode = (code: Parameters<typeof isPsyncError>[1]) => (error: unknown) =>
    isPsyncError(error, code);

  it("TREE-1: lists are shown without their suffix, and nothing else but folders and symlinks", async () => {
    const names = await createFolderTree({ root, log }).list("/");
    const shown = names.map(({ name, kind }) => `${kind} ${name}`).sort();
    assert.deepEqual(shown, [
      "file alias",
      "file name with space\nand newline ü 日本",
      "file plain",
      "folder a",
      "folder both",
      "symlink dangling.hashlist",
      "symlink folderlink",
      "symlink link",
    ]);
  });

  it("TREE-1, TREE-2: what is not shown is counted in the log, once a folder, and shadowed names are told", async () => {
    messages.length = 0;
    const tree = createFolderTree({ root, log });
    await tree.list("/");
    await tree.list("/");
    assert.equal(messages.filter((text) => text.includes("3 names that are not")).length, 1);
    assert.equal(messages.filter((text) => text.includes("both stands for two")).length, 1);
  });

  it("TREE-1: every name that is listed is found, as what it was listed", async () => {
    const tree = createFolderTree({ root, log });
    for (const folder of ["/", "/a"]) {
      for (const { name, kind } of await tree.list(folder)) {
        const entry = await tree.find(folder === "/" ? `/${name}` : `${folder}/${name}`);
        assert.equal(entry.kind, kind, name);
      }
    }
    assert.equal((await tree.find("/")).kind, "folder");
  });

  it("TREE-2: where a folder and a list would get one name, the folder wins", async () => {
    const tree = createFolderTree({ root, log });
    assert.equal((await tree.find("/both")).kind, "folder");
    assert.deepEqual(await tree.list("/both"), []);
  });

  it("ERR-1: what is not there, or not a folder, or too long, is told apart", async () => {
    const tree = createFolderTree({ root, log });
    for (const path of ["/none", "/README.txt", "/plain.hashlist", "/socket", "/.hashlist"]) {
      await assert.rejects(tree.find(path), isCode("ERR_PSYNC_NO_ENTRY"), path);
    }
    await assert.rejects(tree.find(`/${"x".repeat(255)}`), isCode("ERR_PSYNC_NO_ENTRY"));
    await assert.rejects(tree.find(`/${"x".repeat(256)}`), isCode("ERR_PSYNC_NAME_TOO_LONG"));
    await assert.rejects(tree.find("/README.txt/x"), isCode("ERR_PSYNC_NOT_A_FOLDER"));
    await assert.rejects(tree.readLink("/plain"), isCode("ERR_PSYNC_NOT_A_LINK"));
    await assert.rejects(tree.list("/none"), isCode("ERR_PSYNC_NO_ENTRY"));
  });

  it("TREE-3: a symlink keeps its target", async () => {
    const tree = createFolderTree({ root, log });
    assert.equal(await tree.readLink("/link"), "a/b.iso");
    assert.equal(await tree.readLink("/dangling.hashlist"), "nowhere.hashlist");
  });

  it("TREE-1: one list is a folder with one file", async () => {
    const tree = createSingleListTree(join(root, "plain.hashlist"));
    assert.deepEqual(await tree.list("/"), [{ name: "plain", kind: "file" }]);
    assert.equal((await tree.find("/plain")).kind, "file");
    assert.equal((await tree.find("/")).kind, "folder");
    await assert.rejects(tree.find("/other"), isCode("ERR_PSYNC_NO_ENTRY"));
  });
});

/** What a crash left in tmp/ is cleared; what a live process writes is not. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, readlink, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "../../src/core/log.js";
import { openTempFiles } from "../../src/store/tempFiles.js";

import { tempFolder } from "../support/tempFolder.js";

const ID = "00000000-0000-4000-8000-000000000000";

async function startTicks(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

async function namespaceInode(): Promise<string> {
  return /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "";
}

/** Opens a tmp/ that holds one file of this name, and says whether it is still there. */
async function survives(
  t: Parameters<typeof tempFolder>[0],
  name: string,
  ageMs = 0,
): Promise<boolean> {
  const folder = await tempFolder(t);
  await writeFile(join(folder, name), "half a block");
  const writtenAt = Date.now() / 1000 - ageMs / 1000;
  await utimes(join(folder, name), writtenAt, writtenAt);
  await openTempFiles(folder, silentLogger);
  const names = await readdir(folder);
  assert.ok(names.every((left) => left === name));
  return names.includes(name);
}

describe("tempFiles", () => {
  it("a file of this very process stays", async (t) => {
    const folder = await tempFolder(t);
    const path = (await openTempFiles(folder, silentLogger)).newPath();
    await writeFile(path, "being written by another store of this process");
    await openTempFiles(folder, silentLogger);
    assert.deepEqual(await readdir(folder), [basename(path)]);
  });

  it("no path is given twice", async (t) => {
    const temp = await openTempFiles(await tempFolder(t), silentLogger);
    assert.equal(new Set(Array.from({ length: 1000 }, () => temp.newPath())).size, 1000);
  });

  it("a file of another live process stays, and goes when that one is dead", async (t) => {
    const child = spawn("sleep", ["60"]);
    t.after(() => child.kill());
    await once(child, "spawn");
    const pid = child.pid ?? 0;
    const name = `${pid}.${await startTicks(pid)}.${await namespaceInode()}.${ID}`;
    assert.equal(await survives(t, name), true);
    child.kill();
    await once(child, "exit");
    assert.equal(await survives(t, name), false);
  });

  it("a file goes when its pid now belongs to a process that started later", async (t) => {
    const name = `${process.pid}.1.${await namespaceInode()}.${ID}`;
    assert.equal(await survives(t, name), false);
  });

  it("a file of another pid namespace stays for a day", async (t) => {
    const name = `4194303.1.7.${ID}`;
    assert.equal(await survives(t, name), true);
    assert.equal(await survives(t, name, 25 * 3_600_000), false);
  });

  it("a name that is not ours stays for a day", async (t) => {
    assert.equal(await survives(t, "notes.txt"), true);
    assert.equal(await survives(t, "notes.txt", 25 * 3_600_000), false);
  });
});

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { createRenamer } from "../../src/mount/driver/renamer.js";

const PREPARE = { step: "prepare", folder: "/", name: "x", device: -1 } as const;

test("a renaming process that cannot be started fails the step and nothing else", async () => {
  const program = join(tmpdir(), "psync-no-such-program");
  const renamer = createRenamer({ clock: systemClock, program });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await assert.rejects(renamer.send(PREPARE), { code: "ENOENT" });
  }
  renamer.close();
});

test("a program that cannot be run fails the step", async () => {
  const folder = await mkdtemp(join(tmpdir(), "psync-renamer-"));
  try {
    const renamer = createRenamer({ clock: systemClock, program: folder });
    await assert.rejects(renamer.send(PREPARE), { code: "EACCES" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a renaming process that ends without an answer fails the step, and the next one starts anew", async () => {
  const renamer = createRenamer({ clock: systemClock, program: "/bin/true" });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await assert.rejects(renamer.send(PREPARE));
  }
  renamer.close();
});

test("a failed system call's message comes back, and the process goes on", async () => {
  const renamer = createRenamer({ clock: systemClock });
  await assert.rejects(renamer.send(PREPARE), /not on the mount/);
  await assert.rejects(renamer.send({ ...PREPARE, folder: "/none" }), /none/);
  renamer.close();
});

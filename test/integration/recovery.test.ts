/** Servers that die, come back or are slow, in real time, under a reader of a real mount. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startSlowLine, type LineOptions } from "../../bench/slowLine.js";
import { seededBytes } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { psyncOk, startPsync } from "../support/cli.js";
import { listsFixture } from "../support/mountedCli.js";

const skip = existsSync("/dev/fuse") ? false : "there is no /dev/fuse";
const MIB = 1 << 20;

/** Reads a file in order and compares it. @returns how long it took, in ms */
async function readAll(
  path: string,
  expected: Buffer,
  onRead: (readBytes: number) => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  const startMs = performance.now();
  const file = await open(path);
  const part = Buffer.alloc(MIB);
  try {
    for (let at = 0; at < expected.length;) {
      const { bytesRead } = await file.read(part, 0, part.length, at);
      assert.ok(bytesRead > 0, `the file ends at ${at}`);
      assert.ok(
        part.subarray(0, bytesRead).equals(expected.subarray(at, at + bytesRead)),
        `at ${at}`,
      );
      at += bytesRead;
      await onRead(at);
    }
  } finally {
    await file.close();
  }
  return performance.now() - startMs;
}

/** One file in the lists' folder, and servers of it behind lines. */
async function fixture(t: CleanUpContext, sizeBytes: number) {
  const made = await listsFixture(t);
  const bytes = seededBytes("recovery", sizeBytes);
  await made.add("big", bytes);
  const path = join(made.mountpoint, "big");
  const serveBehind = async (line: Omit<LineOptions, "target">): Promise<string> => {
    const { port } = await made.serve();
    const slow = await startSlowLine({ ...line, target: { host: "127.0.0.1", port } });
    cleanUp(t, () => slow.close());
    return slow.url;
  };
  return { ...made, bytes, path, serveBehind };
}

describe("a reader in order", { skip, concurrency: false }, () => {
  it("FETCH-3: does not notice a server that is killed and started again 3 s later", async (t) => {
    const { folder, mount, lists } = await listsFixture(t);
    const bytes = seededBytes("killed", 256 * MIB);
    await writeFile(join(folder, "big"), bytes);
    const store = join(folder, "served");
    await psyncOk(["export", "-o", join(lists, "big.hashlist"), join(folder, "big")], { store });
    const first = await startPsync(["serve", "127.0.0.1:0"], { store });
    const address = new URL(first.firstLine).host;
    cleanUp(t, () => first.stop());
    const { folder: mountpoint } = await mount([first.firstLine]);

    let isKilled = false;
    await readAll(join(mountpoint, "big"), bytes, async (readBytes) => {
      if (isKilled || readBytes < 64 * MIB) return;
      isKilled = true;
      await first.stop("SIGKILL");
      // The reader goes on meanwhile.
      setTimeout(() => {
        const second = startPsync(["serve", address], { store });
        cleanUp(t, async () => {
          await (await second).stop();
        });
      }, 3000);
    });
    assert.ok(isKilled);
  });

  it("RANK-1: is hardly slower for one of three servers that gives 100 kB/s", async (t) => {
    const { bytes, path, serveBehind, mount } = await fixture(t, 128 * MIB);
    // So slow that neither the disk nor the load of this machine matters.
    const good = [
      await serveBehind({ bytesPerSecond: 8e6 }),
      await serveBehind({ bytesPerSecond: 8e6 }),
    ];
    const thin = await serveBehind({ bytesPerSecond: 100e3 });
    const without = await mount(good, { args: ["--cache-size", "0"] });
    const withoutMs = await readAll(path, bytes);
    await without.process.stop();
    await mount([thin, ...good], { args: ["--cache-size", "0"] });
    const withMs = await readAll(path, bytes);
    t.diagnostic(`${Math.round(withMs)} ms with it, ${Math.round(withoutMs)} ms without it`);
    assert.ok(withMs <= 1.3 * withoutMs, `${withMs} ms with it, ${withoutMs} ms without it`);
  });

  it("AHEAD-1: gets eight times and more what one connection gives", async (t) => {
    const { bytes, path, serveBehind, mount } = await fixture(t, 256 * MIB);
    // So slow that a loaded machine can carry all of them.
    const connectionBytesPerSecond = 2e6;
    await mount([await serveBehind({ connectionBytesPerSecond })]);
    const tookMs = await readAll(path, bytes);
    const ratio = (bytes.length * 1000) / tookMs / connectionBytesPerSecond;
    t.diagnostic(`${ratio.toFixed(1)} times one connection's rate`);
    assert.ok(ratio >= 8, `${ratio} times one connection's rate`);
  });
});

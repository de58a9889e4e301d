/** `gc` and `unpin` in a loop, while other processes export and get the same blocks. */
import { strict as assert } from "node:assert";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseBlockHash } from "../../src/block/hash.js";
import { blockOf, verifyBlock } from "../../src/block/verify.js";
import { createDice, seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk } from "../support/cli.js";
import { startHonestServer } from "../support/honestServer.js";
import { listOf } from "../support/lists.js";
import { SEED } from "../support/seed.js";
import { tempFolder } from "../support/tempFolder.js";

const BLOCK = 16 * 1024;
const POOL_COUNT = 48;
const ROUNDS = 6;

describe("gc beside others", () => {
  it(`GC-2: whatever export and get reported is whole, while blocks go all around it (seed ${SEED})`, async (t) => {
    const folder = await tempFolder(t);
    const [store, lists] = [join(folder, "store"), join(folder, "lists")];
    await mkdir(lists);
    const dice = createDice(`gc ${SEED}`);
    const pool = Array.from({ length: POOL_COUNT }, (_, i) => seededBytes(`gc ${i}`, BLOCK));
    const server = await startHonestServer(pool.map(blockOf));
    cleanUp(t, () => server.close());
    // One that is always there, so that the folder is never empty; and all blocks, to be removed and promised again.
    await writeFile(join(folder, "pool"), Buffer.concat(pool));
    const exported = (file: string, list: string) =>
      psyncOk(["export", file, "-o", list, "--block-size", "16KiB"], { store });
    await exported(join(folder, "pool"), join(folder, "pool.hashlist"));
    await writeFile(join(lists, "base.hashlist"), (await listOf(pool[0] ?? Buffer.alloc(0))).text);

    /** Lists that were reported as kept and are not given up yet. */
    const held = new Set<string>();
    const someBytes = (): Buffer => Buffer.concat(pool.filter(() => dice.roll(2) === 0));
    const assertWhole = async (list: string): Promise<void> => {
      for (const line of (await readFile(list, "utf8")).split("\n")) {
        const hash = parseBlockHash(line);
        if (hash) verifyBlock(hash, await readFile(join(store, "blocks", hash)));
      }
    };
    const exporting = async (name: string): Promise<void> => {
      const file = join(folder, name);
      for (let round = 0; round < ROUNDS; round += 1) {
        await writeFile(file, someBytes());
        const list = join(lists, `${name} ${round}.hashlist`);
        await exported(file, list);
        await assertWhole(list);
        held.add(list);
      }
    };
    const getting = async (name: string): Promise<void> => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const list = join(lists, `${name} ${round}.hashlist`);
        await writeFile(join(folder, name), (await listOf(someBytes(), BLOCK)).text);
        await rename(join(folder, name), list);
        await psyncOk([round % 2 === 0 ? "get" : "pin", "--server", server.url, list], { store });
        await assertWhole(list);
        held.add(list);
      }
    };
    let isDone = false;
    let removedCount = 0;
    let unpinnedCount = 0;
    const collecting = async (): Promise<void> => {
      for (let round = 0; !isDone || round < 2; round += 1) {
        for (const list of held) {
          if (dice.roll(2) > 0) continue;
          held.delete(list);
          await rm(list);
        }
        const args =
          round % 3 === 2
            ? ["unpin", join(folder, "pool.hashlist"), "--keep", lists, "--json"]
            : ["gc", "--keep", lists, "--yes", "--json"];
        const { status, stdout, stderr } = await psync(args, { store });
        assert.equal(status, 0, stderr);
        const done = JSON.parse(stdout.toString()) as Record<string, number>;
        removedCount += done["removedCount"] ?? 0;
        unpinnedCount += done["unpinnedCount"] ?? 0;
      }
    };
    const collects = collecting();
    await Promise.all([exporting("a"), exporting("b"), getting("c")]).finally(() => {
      isDone = true;
    });
    await collects;
    for (const list of held) await assertWhole(list);
    if (held.size > 0) await psyncOk(["check", "--offline", ...held], { store });
    assert.ok(removedCount > 0, "nothing was removed");
    t.diagnostic(`${removedCount} removed, ${unpinnedCount} unpinned, ${held.size} lists left`);
  });
});

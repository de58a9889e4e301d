/**
 * Damage on the disk: 1,000 damaged blocks and 500 damaged indexes, or as many of each as PSYNC_TEST_RUNS says.
 * PSYNC_TEST_SEED=N begins with seed N.
 */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { openStore } from "../../src/store/openStore.js";
import { createDice, seededBlock, type Dice } from "../support/blocks.js";
import type { CleanUpContext } from "../support/cleanUp.js";
import { BLOCK_DAMAGES, INDEX_DAMAGES } from "../support/damage.js";
import { runsOr } from "../support/runs.js";
import { SEED } from "../support/seed.js";
import { wrongBlocks } from "../support/storeCheck.js";
import { createLineLog, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const BLOCK_RUNS = runsOr(1000);
const INDEX_RUNS = runsOr(500);
const DIGEST = "ab".repeat(32);

function oneOf<T>(dice: Dice, values: Readonly<Record<string, T>>): [string, T] {
  const entries = Object.entries(values);
  const entry = entries[dice.roll(entries.length)];
  assert.ok(entry);
  return entry;
}

/** Blocks that are stored, damaged and read together: a batch costs a sync of the folder. */
const BATCH = 20;

function damagedCase(path: string, seed: number) {
  const dice = createDice(`block ${seed}`);
  const block = seededBlock(seed, 1 + dice.roll(9000));
  const isKept = dice.roll(2) === 0;
  const [what, damage] = oneOf(dice, BLOCK_DAMAGES);
  const folder = isKept ? "blocks" : "cache";
  const file = join(path, folder, block.hash);
  return { dice, block, isKept, damage, file, note: `seed ${seed}: ${what} in ${folder}/` };
}

describe("damage", () => {
  it(`VERIFY-1, VERIFY-2: no wrong byte of ${BLOCK_RUNS} damaged blocks is read (seeds from ${SEED})`, async (t) => {
    const path = await tempFolder(t);
    const store = await openTestStore(t, path);
    for (let first = SEED; first < SEED + BLOCK_RUNS; first += BATCH) {
      const count = Math.min(BATCH, SEED + BLOCK_RUNS - first);
      const cases = Array.from({ length: count }, (_, nth) => damagedCase(path, first + nth));
      const put = async (): Promise<void> => {
        await store.blocks.keep(cases.flatMap(({ isKept, block }) => (isKept ? [block] : [])));
        for (const { isKept, block } of cases) if (!isKept) await store.blocks.cache(block);
      };
      await put();
      for (const { dice, damage, file } of cases) damage(file, dice);
      for (const { dice, block, file, note } of cases) {
        const { hash } = block;
        const readers = Array.from({ length: 1 + dice.roll(3) }, () => store.blocks.read(hash));
        for (const read of await Promise.all(readers)) assert.equal(read, undefined, note);
        assert.equal(existsSync(file), false, note);
        assert.equal(await store.blocks.find(hash), undefined, note);
      }
      await put();
      for (const { block, note } of cases) {
        assert.deepEqual((await store.blocks.read(block.hash))?.bytes, block.bytes, note);
      }
    }
  });

  it(`STORE-2: no start fails for ${INDEX_RUNS} damaged indexes, and what is kept is read (seeds from ${SEED})`, async (t) => {
    const fixture = await indexFixture(t);
    for (let seed = SEED; seed < SEED + INDEX_RUNS; seed += 1) {
      const dice = createDice(`index ${seed}`);
      const [what, damage] = oneOf(dice, INDEX_DAMAGES);
      const isOpen = dice.roll(4) === 0;
      const note = `seed ${seed}: ${what}, ${isOpen ? "while it is open" : "before the start"}`;
      await assert.doesNotReject(
        fixture.run({
          seed,
          isOpen,
          damage: (index) => {
            damage(index, dice, fixture.older);
          },
        }),
        note,
      );
    }
  });
});

const PAGE_BYTES = 4096;
const QUOTA_BYTES = 24 * PAGE_BYTES;
const kept = Array.from({ length: 5 }, (_, nth) => seededBlock(`kept ${nth}`));
const cached = Array.from({ length: 20 }, (_, nth) => seededBlock(`cached ${nth}`));

interface IndexRun {
  readonly seed: number;
  /** Whether the store is open when the index is damaged, or opened after it. */
  readonly isOpen: boolean;
  readonly damage: (indexPath: string) => void;
}

/** A store that has the same blocks before each run, and an index of them: closed, or as a crash leaves it. */
async function indexFixture(t: CleanUpContext) {
  const folder = await tempFolder(t);
  const path = join(folder, "store");
  const index = join(path, "index.db");
  const [closed, crashed, older] = ["closed", "crashed", "older"].map((name) => join(folder, name));
  assert.ok(closed !== undefined && crashed !== undefined && older !== undefined);
  const open = (log = createLineLog()) =>
    openStore({ path, clock: systemClock, log, cacheQuotaBytes: QUOTA_BYTES });
  const store = await open();
  await store.blocks.keep(kept);
  for (const [nth, block] of cached.entries()) {
    await store.blocks.cache(block);
    if (nth === 10) copyIndex(path, older);
  }
  store.sizes.set(DIGEST, 12_345);
  copyIndex(path, crashed);
  await store.close();
  copyIndex(path, closed);

  const run = async ({ seed, isOpen, damage }: IndexRun): Promise<void> => {
    for (const name of readdirSync(path).filter((each) => each.startsWith("index.db"))) {
      rmSync(join(path, name), { recursive: true });
    }
    for (const name of readdirSync(join(path, "cache"))) rmSync(join(path, "cache", name));
    for (const { hash, bytes } of cached) writeFileSync(join(path, "cache", hash), bytes);
    copyIndex(seed % 2 === 0 ? closed : crashed, path);
    if (!isOpen) damage(index);
    const opened = await open();
    try {
      if (isOpen) damage(index);
      for (const block of kept) {
        assert.deepEqual((await opened.blocks.read(block.hash))?.bytes, block.bytes);
      }
      for (const block of cached) {
        assert.deepEqual((await opened.blocks.read(block.hash))?.bytes, block.bytes);
      }
      assert.ok([undefined, 12_345].includes(opened.sizes.get(DIGEST)));
      opened.servers.load();
      const fresh = [1, 2, 3].map((nth) => seededBlock(`fresh ${seed} ${nth}`));
      for (const block of fresh) await opened.blocks.cache(block);
      await opened.blocks.keep(fresh.slice(0, 1));
      for (const block of kept) assert.ok(await opened.blocks.find(block.hash));
    } finally {
      await opened.close();
    }
    assert.deepEqual(wrongBlocks(path, ["blocks", "cache"]), []);
  };
  return { older, run };
}

/** Also of an open one: nothing writes to it meanwhile, and no descriptor that SQLite locks is closed afterwards. */
function copyIndex(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of ["index.db", "index.db-wal", "index.db-shm"]) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name));
  }
}

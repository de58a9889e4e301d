/**
 * Power cuts in mid-write: 200, or as many as PSYNC_TEST_RUNS says, on ext4 disks whose journal is replayed after each.
 * PSYNC_TEST_SEED=N begins with seed N.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.js";
import { parseBlockHash } from "../../src/block/hash.js";
import { readHashlist } from "../../src/hashlist/readHashlist.js";
import { openStore } from "../../src/store/openStore.js";
import { createDice, seededBytes } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { startDoomedPsync, startDoomedWorker, type Doomed } from "../support/doomed.js";
import { mountExt4Image, noExt4Reason, type Ext4Image } from "../support/ext4Image.js";
import { startHonestServer } from "../support/honestServer.js";
import { listOf } from "../support/lists.js";
import { runsOr } from "../support/runs.js";
import { SEED } from "../support/seed.js";
import { lostBlocks, wrongBlocks } from "../support/storeCheck.js";
import { createLineLog } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const CUTS = runsOr(200);
const LANES = 2;
const IMAGE_MIB = 96;
/** A store is cut several times, as one that has lived through it, before the next one begins. */
const CUTS_OF_STORE = 5;
const BLOCK_BYTES = 16_384;
const QUOTA_BYTES = 20 * BLOCK_BYTES;
const LIST_BLOCKS = 30;

it(
  `KEEP-1, KEEP-2, CRASH-2: what was said to be kept is there after ${CUTS} power cuts (seeds from ${SEED})`,
  { skip: await noExt4Reason() },
  async (t) => {
    let nextSeed = SEED;
    let saidCount = 0;
    const lane = async (): Promise<void> => {
      const image = await mountExt4Image(t, IMAGE_MIB);
      while (nextSeed < SEED + CUTS) {
        const seeds = Array.from({ length: CUTS_OF_STORE }, (_, nth) => nextSeed + nth);
        nextSeed += seeds.length;
        saidCount += await cutOneStore(t, image, seeds);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    t.diagnostic(`${saidCount} blocks were said to be kept`);
  },
);

/** @returns how many blocks were said to be kept */
async function cutOneStore(
  t: CleanUpContext,
  image: Ext4Image,
  seeds: readonly number[],
): Promise<number> {
  const store = join(image.folder, "store");
  const said = new Set<string>();
  for (const seed of seeds) {
    const { status, hashes } = await cutOnce(t, image, { store, seed });
    for (const hash of hashes) said.add(hash);
    await image.remount();
    const note = `seed ${seed}, ${status}`;
    if (said.size === 0 && !existsSync(store)) continue;
    assert.deepEqual(lostBlocks(store, said), [], note);
    // A file that has its name in blocks/ was synced before it got it; one in cache/ may be torn.
    assert.deepEqual(wrongBlocks(store, ["blocks"]), [], note);
    await assertOpens(store, note);
  }
  await rm(store, { recursive: true, force: true });
  return said.size;
}

/** The store opens, index or not, and every block that can be read has the right bytes or is not there. */
async function assertOpens(path: string, note: string): Promise<void> {
  const opened = await openStore({ path, clock: systemClock, log: createLineLog() });
  try {
    for await (const name of opened.list("cached")) await opened.blocks.read(name);
  } finally {
    await opened.close();
  }
  assert.deepEqual(wrongBlocks(path, ["cache"]), [], `${note}: a torn block was not set aside`);
}

/** Starts what writes, cuts the power at a random moment, and kills what is left. */
async function cutOnce(
  t: CleanUpContext,
  image: Ext4Image,
  { store, seed }: { readonly store: string; readonly seed: number },
): Promise<{ readonly status: string; readonly hashes: readonly string[] }> {
  const dice = createDice(`cut ${seed}`);
  // Beside the disk, where no cut takes it: what is to be stored, and who gives it.
  const folder = await tempFolder(t);
  const lists = join(folder, "lists");
  await mkdir(lists);
  const bytes = seededBytes(`cut ${seed}`, LIST_BLOCKS * BLOCK_BYTES - dice.roll(BLOCK_BYTES));
  const { text, blocks } = await listOf(bytes, BLOCK_BYTES);
  const list = join(lists, "list.hashlist");
  await writeFile(list, text);
  await writeFile(join(folder, "file"), bytes);
  const server = await startHonestServer([...blocks.values()]);
  cleanUp(t, () => server.close());

  const folders = { lists, needed: lists, dropped: lists, exported: folder };
  const load = { store, seed: String(seed), url: server.url, listName: "exported", ...folders };
  const worker = (task: "export" | "get" | "read"): Doomed =>
    startDoomedWorker(task, { ...load, blockSizeBytes: BLOCK_BYTES, quotaBytes: QUOTA_BYTES });
  const isReal = dice.roll(8) === 0;
  const exporting = isReal
    ? startDoomedPsync(["export", join(folder, "file"), "--block-size", `${BLOCK_BYTES}`], store)
    : worker("export");
  const getting = isReal
    ? startDoomedPsync(["get", server.url, list, "-q"], store)
    : worker(dice.roll(2) === 0 ? "get" : "read");
  const all = [exporting, getting];
  cleanUp(t, () => {
    for (const doomed of all) doomed.kill();
  });
  const enough = dice.roll(40);
  const isOver = (): boolean => all.every((doomed) => doomed.hasEnded());
  while (!isOver() && exporting.lines().length < enough) await sleep(1);
  await sleep(dice.roll(10));
  await image.cutPower();
  // They learn of it by errors, and have time to say what is not true any more.
  await Promise.race([sleep(dice.roll(20)), Promise.all(all.map((doomed) => doomed.ended))]);
  for (const doomed of all) doomed.kill();
  const [, status] = await Promise.all([exporting.ended, getting.ended]);
  await server.close();
  const hashes = exporting
    .lines()
    .map((line) => line.replace("kept ", ""))
    .filter((line) => parseBlockHash(line) !== undefined);
  const isGot = getting.lines().includes("got list.hashlist") || (isReal && status === 0);
  const got = isGot ? await hashesOf(list) : [];
  return { status: `get ended with ${String(status)}`, hashes: [...hashes, ...got] };
}

async function hashesOf(path: string): Promise<string[]> {
  const { list } = await readHashlist(path);
  return Array.from({ length: list.blockCount }, (_, blockIndex) => list.hashAt(blockIndex));
}

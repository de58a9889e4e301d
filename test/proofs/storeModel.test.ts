/**
 * Three processes on one store do random things, beside a Map that says what must come of them: 2,000 steps, or as many
 * as PSYNC_TEST_RUNS says, in stores of 300. PSYNC_TEST_SEED=N begins with store N, which chooses the same again.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createDice, type Dice } from "../support/blocks.js";
import type { CleanUpContext } from "../support/cleanUp.js";
import { startModelProcess, type ModelProcess } from "../support/modelProcess.js";
import { runsOr } from "../support/runs.js";
import { SEED } from "../support/seed.js";
import {
  cacheUsageBytes,
  fsckProblems,
  isScanned,
  lostBlocks,
  problemsAfterStart,
  uncountedBlocks,
  wrongBlocks,
} from "../support/storeCheck.js";
import { LARGEST_BLOCK_BYTES, modelBlock, randomOp, StoreModel } from "../support/storeModel.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const STEPS = runsOr(2_000);
const STEPS_OF_STORE = 300;
const STEPS_OF_EPOCH = 100;
const PROCESSES = 3;
const QUOTA_BYTES = 10 * LARGEST_BLOCK_BYTES;

/** One store, from nothing to its last check. */
async function runStore(t: CleanUpContext, seed: number, stepCount: number): Promise<void> {
  const folder = await tempFolder(t);
  const store = join(folder, "store");
  const dice = createDice(`model ${seed}`);
  const model = new StoreModel(store);
  const start = (): Promise<ModelProcess> => startModelProcess(t, store, QUOTA_BYTES);
  const processes = await Promise.all(Array.from({ length: PROCESSES }, start));
  const processOf = (nth = 0): ModelProcess => {
    const process = processes[nth];
    assert.ok(process);
    return process;
  };
  let killedCount = 0;
  /** The step at which the index was lost, until all that is cached is counted again. */
  let lostAt: number | undefined;
  for (let step = 0; step < stepCount; step += 1) {
    const ops = Array.from({ length: 1 + dice.roll(4) }, () => ({
      ...randomOp(dice, Math.floor(step / STEPS_OF_EPOCH)),
      process: dice.roll(PROCESSES),
    }));
    const note = `seed ${seed}, step ${step}: ${JSON.stringify(ops)}`;
    const victim = dice.roll(40) === 0 ? dice.roll(PROCESSES) : undefined;
    const modelStep = { ops, victim, onDisk: model.look(ops) };
    const right = ops.map((op) => model.rightResults(op, modelStep));
    const running = ops.map((op) => processOf(op.process).run(op));
    if (victim !== undefined) {
      await sleep(dice.roll(6));
      await processes[victim]?.kill();
      killedCount += 1;
    }
    const results = await Promise.all(running);
    ops.forEach(({ kind, numbers, process }, nth) => {
      const result = results[nth];
      const isUnknown = result === undefined && process === victim;
      const isRight = isUnknown || (result !== undefined && right[nth]?.includes(result) === true);
      assert.ok(isRight, `${note}: ${kind} ${numbers.join()} gave ${String(result)}`);
    });
    assert.deepEqual(model.spared(modelStep, results), [], note);
    model.note(modelStep, results);
    if (victim !== undefined) processes[victim] = await start();
    const isCounted = lostAt === undefined;
    assertStore(store, model, { note, isCounted });
    // Reading all of it takes longer than the step did.
    if (step % 10 === 9) assert.deepEqual(wrongBlocks(store, ["blocks", "cache"]), [], note);
    if (dice.roll(60) === 0) model.forgetClaims(await replaceOne(dice, processes, start));
    // Else all of an epoch's blocks would be claimed after a while, and no sweep find anything.
    if (dice.roll(6) === 0) {
      const nth = dice.roll(PROCESSES);
      await processOf(nth).reopen();
      model.forgetClaims(nth);
    }
    if (isCounted && dice.roll(60) === 0) {
      model.forgetClaims(await loseIndex(dice, store, processes, start));
      lostAt = step;
    } else if (lostAt !== undefined && step > lostAt + dice.roll(10)) {
      await countAgain(store, processes);
      lostAt = undefined;
    }
  }
  for (const process of processes) await process.close();
  const left = await problemsAfterStart(store, {
    quotaBytes: QUOTA_BYTES,
    killedCount,
    largestBlockBytes: LARGEST_BLOCK_BYTES,
  });
  assert.deepEqual([...left, ...(await fsckProblems(store))], [], `seed ${seed}, at its end`);
}

function assertStore(
  store: string,
  model: StoreModel,
  { note, isCounted }: { readonly note: string; readonly isCounted: boolean },
): void {
  const kept = model.keptNumbers().map((number) => modelBlock(number).hash);
  assert.deepEqual(lostBlocks(store, kept), [], note);
  if (!isCounted) return;
  assert.deepEqual(uncountedBlocks(store), [], note);
  assert.ok(cacheUsageBytes(store) <= QUOTA_BYTES, `${note}: ${cacheUsageBytes(store)} in cache/`);
}

/** @returns which of them */
async function replaceOne(
  dice: Dice,
  processes: ModelProcess[],
  start: () => Promise<ModelProcess>,
): Promise<number> {
  const nth = dice.roll(PROCESSES);
  await processes[nth]?.close();
  processes[nth] = await start();
  return nth;
}

/** Deletes the index, and with it the knowledge of what is cached, which is back when a scan is done. @returns as `replaceOne` */
async function loseIndex(
  dice: Dice,
  store: string,
  processes: ModelProcess[],
  start: () => Promise<ModelProcess>,
): Promise<number> {
  const suffixes = dice.roll(2) === 0 ? [""] : ["-wal", "-shm", ""];
  for (const suffix of suffixes) rmSync(join(store, `index.db${suffix}`), { force: true });
  return replaceOne(dice, processes, start);
}

/** After a scan the quota is met by whatever is cached next, as STORE-3 says: room is made by who writes. */
async function countAgain(store: string, processes: readonly ModelProcess[]): Promise<void> {
  let number = -1;
  await until("the quota is met again", async () => {
    const results = await Promise.all(
      processes.map((process) => process.run({ kind: "cache", numbers: [(number -= 1)] })),
    );
    assert.ok(results.every((result) => result === "done"));
    return isScanned(store) && cacheUsageBytes(store) <= QUOTA_BYTES;
  });
}

it(`STORE-1, STORE-2, STORE-3, KEEP-3: three processes agree with a Map in ${STEPS} steps (seeds from ${SEED})`, async (t) => {
  for (let done = 0; done < STEPS; done += STEPS_OF_STORE) {
    const seed = SEED + done / STEPS_OF_STORE;
    await runStore(t, seed, Math.min(STEPS_OF_STORE, STEPS - done));
  }
});

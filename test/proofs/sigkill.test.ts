/**
 * SIGKILL at a random moment: 500 processes, or as many as PSYNC_TEST_RUNS says. Each store has a seed and ten rounds;
 * PSYNC_TEST_SEED=N begins with store N, which chooses the same files, processes and moments again.
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import { killRounds, type RoundTotals } from "../support/killedStore.js";
import { runsOr } from "../support/runs.js";
import { SEED } from "../support/seed.js";

const KILLS = runsOr(500);
const ROUNDS = 10;
const LANES = 3;

it(`KEEP-1, KEEP-2, CRASH-1, GC-2: nothing is lost, wrong or left over after ${KILLS} kills (seeds from ${SEED})`, async (t) => {
  let killedCount = 0;
  let takenCount = 0;
  let nextSeed = SEED;
  const mayGoOn = (round: RoundTotals): boolean => {
    killedCount += round.killedCount;
    takenCount += round.takenCount;
    return killedCount < KILLS;
  };
  const lane = async (): Promise<void> => {
    while (killedCount < KILLS) {
      const seed = nextSeed;
      nextSeed += 1;
      const problems = await killRounds(t, { seed, rounds: ROUNDS }, mayGoOn);
      assert.deepEqual(problems, [], `seed ${seed}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  t.diagnostic(`${killedCount} were killed, in ${nextSeed - SEED} stores; ${takenCount} sweeps`);
  assert.ok(takenCount > 0 || KILLS < 100, "no sweep took anything");
});

/**
 * `npm run proofs [-- NAME…]`: the proofs of the store in their long forms, which take hours: ten times what `npm test` does,
 * or as many as PSYNC_TEST_RUNS says.
 */
import { join } from "node:path";
import { ROOT, run } from "./setup.mjs";

/** What PSYNC_TEST_RUNS means to each is said in its first lines. */
const LONG_RUNS = {
  sigkill: 5_000,
  powerCut: 2_000,
  failingCalls: 5,
  damage: 10_000,
  storeModel: 30_000,
};

const names = process.argv.slice(2);
for (const [name, count] of Object.entries(LONG_RUNS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const env = { ...process.env, PSYNC_TEST_RUNS: process.env.PSYNC_TEST_RUNS ?? String(count) };
  run(process.execPath, [join(ROOT, "scripts/test.mjs"), `proofs/${name}`], { env });
}

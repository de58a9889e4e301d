/**
 * Readers and servers in simulated time, 20,000 seeds of them in two files: every claim of
 * test/support/simulation/claims.ts holds. PSYNC_TEST_RUNS sets another count; PSYNC_TEST_SEED=N runs seed N alone
 * (with PSYNC_TEST_RUNS: N and those after it), and PSYNC_TEST_TRACE=1 prints all that happens in it.
 */
import { testSeeds } from "../support/simulation/seedsTest.js";

testSeeds({ part: 0, parts: 2 });

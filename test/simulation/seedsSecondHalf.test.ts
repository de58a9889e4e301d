/** The other half of the seeds; seedsFirstHalf.test.ts says more. */
import { testSeeds } from "../support/simulation/seedsTest.js";

testSeeds({ part: 1, parts: 2 });

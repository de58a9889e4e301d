/** Runs many seeds, and tells what the ones that break a claim did: enough to replay each. */
import { LIMITS } from "../../../src/core/limits.js";
import { DEFAULT_BOUNDS, violations, type ClaimName, type Violation } from "./claims.js";
import { runScenario, SCALED_LIMITS } from "./run.js";
import { drawScenario } from "./scenario.js";

/** How many seeds are told with their violations, and how many with their trace too. */
const TOLD_SEEDS = 20;
const TRACED_SEEDS = 1;
/** Lines of a trace that are told, the last ones. */
const TRACE_LINES = 400;

export const BOUNDS = {
  ...DEFAULT_BOUNDS,
  limits: SCALED_LIMITS,
  lastResortProbeMs: LIMITS.fetch.maxRoundPauseMs,
};

export async function violationsOf(seed: number): Promise<Violation[]> {
  const scenario = drawScenario(seed);
  return violations(scenario, await runScenario(scenario), BOUNDS);
}

/** Everything that happens in a seed, a line each. */
export async function traceOf(seed: number): Promise<readonly string[]> {
  const scenario = drawScenario(seed);
  const { trace } = await runScenario(scenario, { isTraced: true });
  const servers = scenario.servers.map((plan) => JSON.stringify(plan));
  return [...servers, ...trace];
}

/** What a number of seeds came to. */
export interface Report {
  readonly seedCount: number;
  /** Seeds that break each claim. */
  readonly seedsOf: ReadonlyMap<ClaimName, readonly number[]>;
  /** What the first of them broke, a line each. */
  readonly told: readonly string[];
}

/** Runs the seeds, one after the other. */
export async function reportOf(seeds: Iterable<number>): Promise<Report> {
  const seedsOf = new Map<ClaimName, number[]>();
  const told: string[] = [];
  const failed: number[] = [];
  let seedCount = 0;
  for (const seed of seeds) {
    seedCount += 1;
    const found = await violationsOf(seed);
    if (found.length === 0) continue;
    failed.push(seed);
    for (const claim of new Set(found.map((violation) => violation.claim))) {
      seedsOf.set(claim, [...(seedsOf.get(claim) ?? []), seed]);
    }
    if (failed.length > TOLD_SEEDS) continue;
    for (const { claim, what } of found.slice(0, 5)) told.push(`seed ${seed}: ${claim}: ${what}`);
  }
  for (const seed of failed.slice(0, TRACED_SEEDS)) {
    const trace = await traceOf(seed);
    told.push(
      `the end of seed ${seed}; PSYNC_TEST_SEED=${seed} npm test -- simulation runs it again`,
    );
    told.push(...trace.slice(-TRACE_LINES));
  }
  return { seedCount, seedsOf, told };
}

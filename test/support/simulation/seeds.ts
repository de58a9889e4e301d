/** Runs many seeds, and tells what the ones that break a claim did: enough to replay each. */
import { LIMITS } from "../../../src/core/limits.js";
import { DEFAULT_BOUNDS, violations, type ClaimName, type Violation } from "./claims.js";
import { runScenario, SCALED_LIMITS } from "./run.js";
import { drawScenario } from "./scenario.js";

/** How many seeds are told with what they broke. */
const TOLD_SEEDS = 10;
/** Lines of the trace that are told, the last ones; PSYNC_TEST_TRACE tells all. */
const TRACE_LINES = 300;

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

/**
 * Runs the seeds, one after the other.
 *
 * @returns undefined where all claims hold; else what to read from its end: which claims are broken by which seeds,
 *   what happened in the first ones, and the trace of the very first
 */
export async function reportOf(seeds: Iterable<number>): Promise<string | undefined> {
  const seedsOf = new Map<ClaimName, number[]>();
  const told: string[] = [];
  let first: number | undefined;
  let seedCount = 0;
  let brokenCount = 0;
  for (const seed of seeds) {
    seedCount += 1;
    const found = await violationsOf(seed);
    if (found.length === 0) continue;
    first ??= seed;
    brokenCount += 1;
    for (const claim of new Set(found.map((violation) => violation.claim))) {
      seedsOf.set(claim, [...(seedsOf.get(claim) ?? []), seed]);
    }
    if (brokenCount > TOLD_SEEDS) continue;
    for (const { claim, what } of found.slice(0, 5)) told.push(`seed ${seed}: ${claim}: ${what}`);
  }
  if (first === undefined) return undefined;
  return [
    "",
    ...(await traceOf(first)).slice(-TRACE_LINES),
    `That was seed ${first}; \`PSYNC_TEST_SEED=${first} npm test -- simulation\` runs it again.`,
    ...told,
    ...[...seedsOf].map(
      ([claim, broken]) =>
        `${claim}: broken by ${broken.length} of ${seedCount} seeds: ${broken.slice(0, TOLD_SEEDS).join(", ")}`,
    ),
  ].join("\n");
}

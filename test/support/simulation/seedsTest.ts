/** The test over many seeds, in as many files as may run side by side; which seeds, the environment says. */
import { strict as assert } from "node:assert";
import { it } from "node:test";
import { SEED } from "../seed.js";
import { reportOf, traceOf } from "./seeds.js";

/** A seed that was named is run alone, unless a count says otherwise. */
const RUNS = Number(
  process.env["PSYNC_TEST_RUNS"] ?? (process.env["PSYNC_TEST_SEED"] === undefined ? 20_000 : 1),
);
/** The whole trace, also of seeds that hold. */
const IS_TRACED = process.env["PSYNC_TEST_TRACE"] !== undefined;

/** @param part of so many `parts`, counted from 0 */
export function testSeeds({
  part,
  parts,
}: {
  readonly part: number;
  readonly parts: number;
}): void {
  const seeds = Array.from({ length: RUNS }, (_, index) => SEED + index).filter(
    (_, index) => index % parts === part,
  );
  it(`every claim holds in ${seeds.length} runs (seeds from ${SEED})`, async () => {
    if (IS_TRACED) {
      for (const seed of seeds) console.log((await traceOf(seed)).join("\n"));
    }
    const { seedCount, seedsOf, told } = await reportOf(seeds);
    const counts = [...seedsOf].map(
      ([claim, broken]) =>
        `${claim} is broken by ${broken.length} of ${seedCount} seeds: ${broken.slice(0, 8).join(", ")}`,
    );
    assert.ok(counts.length === 0, [...counts, ...told].join("\n"));
  });
}

/** How often a proof is done: as often as PSYNC_TEST_RUNS says, else once where one seed was named, else as CI does it. */
export function runsOr(ciCount: number): number {
  return Number(process.env["PSYNC_TEST_RUNS"] ?? ciCount);
}

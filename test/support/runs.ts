/** How often a proof is done: as often as PSYNC_TEST_RUNS says, or else as CI does it. */
export function runsOr(ciCount: number): number {
  return Number(process.env["PSYNC_TEST_RUNS"] ?? ciCount);
}

/** The seed of a run: a new one each time, printed in the tests' names; PSYNC_TEST_SEED replays one. */
export const SEED = Number(process.env["PSYNC_TEST_SEED"] ?? Date.now() % 2 ** 31);

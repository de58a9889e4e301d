/**
 * The claims of the simulation over real sockets: each seed has servers that fail in one of all known ways or in many,
 * one that is honest, and readers. PSYNC_TEST_SEED=n runs one, PSYNC_TEST_SOCKET_RUNS another number of them.
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { withDeadline } from "../../src/core/abort.js";
import { inParallel } from "../../src/core/inParallel.js";
import type { LimitsOf } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { createAhead } from "../../src/core/urgency.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { createDice, seededBlock } from "../support/blocks.js";
import { FAULTS, LIES, namesOf, type FaultName } from "../support/faults.js";
import { startFaultyServer, type FaultyServer } from "../support/faultyServer.js";
import { httpServers } from "../support/httpServers.js";
import { SEED } from "../support/seed.js";
import { until } from "../support/until.js";

const RUNS = Number(
  process.env["PSYNC_TEST_SOCKET_RUNS"] ??
    (process.env["PSYNC_TEST_SEED"] === undefined ? 2_000 : 1),
);
const NAMES = namesOf(FAULTS);
const LIE_NAMES: ReadonlySet<FaultName> = new Set(namesOf(LIES));
const DEADLINE_MS = 30_000;
const MAX_BYTES = 8192;

/** A hundredth of the real times, so that stalls do not make the test long; bans and rests outlast a seed. */
const QUICK: Partial<LimitsOf<"fetch">> = {
  headersTimeoutMs: 200,
  slowWindowMs: 200,
  passedOverBodyMs: 50,
  patienceMs: 20_000,
  roundPauseMs: 5,
  maxRoundPauseMs: 20,
  raceFirstMs: 20,
  raceFloorMs: 10,
  raceLastMs: 50,
  raceLookMs: 10,
  standstillMs: 40,
};

it(`every block comes, right and in time, in ${RUNS} runs over sockets (seeds from ${SEED})`, async (t) => {
  const seeds = Array.from({ length: RUNS }, (_, index) => SEED + index);
  const seen = new Set<FaultName>();
  await inParallel(seeds, 12, async (seed) => {
    try {
      await runSeed(seed, seen);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  });
  t.diagnostic(`${seen.size} of ${NAMES.length} ways to answer`);
  if (RUNS >= 2_000) assert.deepEqual([...seen].sort(), [...NAMES].sort());
});

async function runSeed(seed: number, seen: Set<FaultName>): Promise<void> {
  const dice = createDice(`sockets ${seed}`);
  const blocks = Array.from({ length: 8 }, (_, index) => seededBlock(`${seed} ${index}`, 3000));
  const steady = NAMES[seed % NAMES.length] ?? "none";
  const drawn = (): FaultName => NAMES[dice.roll(NAMES.length)] ?? "none";
  const note = (name: FaultName): FaultName => {
    seen.add(name);
    return name;
  };
  const faults = [() => note(steady), ...(dice.roll(2) === 0 ? [() => note(drawn())] : [])];
  const faulty = await Promise.all(
    faults.map((fault, nth) => startFaultyServer({ blocks, seed: `${seed} ${nth}`, fault })),
  );
  const honest = await startFaultyServer({ blocks, seed, fault: "none" });
  const servers = [...faulty];
  servers.splice(dice.roll(faulty.length + 1), 0, honest);
  const set = createServerSet({
    servers: httpServers(
      servers.map(({ url }) => url),
      QUICK,
    ),
    clock: systemClock,
    log: silentLogger,
    limits: QUICK,
  });

  const fetchOne = async (index: number): Promise<void> => {
    const block = blocks[index % blocks.length];
    assert.ok(block);
    const request = { hash: block.hash, maxBytes: MAX_BYTES };
    const got = await withDeadline(
      { clock: systemClock, timeoutMs: DEADLINE_MS, onDeadline: () => new Error("not in time") },
      async (signal) => {
        const urgency = createAhead();
        // A block that is fetched ahead may fail; whoever needs it then asks for it himself.
        const isAhead = dice.roll(4) === 0;
        if (isAhead) await set.fetch({ ...request, signal, urgency }).catch(() => undefined);
        return set.fetch({ ...request, signal });
      },
    );
    assert.ok(Buffer.from(block.bytes).equals(got.bytes), `block ${index}`);
  };

  try {
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(blocks.map((_, index) => fetchOne(index)));
    }
    for (const { requestsUnderWay } of set.status()) assert.equal(requestsUnderWay, 0);
    assertLeftAlone(faulty, steady, blocks.length);
  } finally {
    await set.close();
    await until("every connection is closed", () =>
      servers.every((server) => server.openConnections() === 0),
    );
    for (const server of servers) await server.close();
  }
}

/** A liar is asked until its first lie is seen: on a slow machine others may be quicker before, but once a block. */
function assertLeftAlone(
  [steadyServer]: readonly FaultyServer[],
  steady: FaultName,
  blockCount: number,
): void {
  if (!LIE_NAMES.has(steady)) return;
  const asked = steadyServer?.requestCount() ?? 0;
  assert.ok(asked <= blockCount, `${steady} was asked ${asked} times`);
}

import assert from "node:assert/strict";
import { it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isBlockMissing } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { httpServers } from "../support/httpServers.js";
import { createDice, seededBlock } from "../support/blocks.js";
import { FAULTS, namesOf, type FaultName } from "../support/faults.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { SEED } from "../support/seed.js";
import { until } from "../support/until.js";

const seed = String(SEED);
const names = namesOf(FAULTS);

it(`every fetch ends in the right bytes, a typed error or its abort (seed ${seed})`, async () => {
  const dice = createDice(seed);
  const blocks = Array.from({ length: 40 }, (_, index) => seededBlock(`${seed} ${index}`, 3000));
  // Half of the answers are right, so that some fetches get there.
  const fault = (): FaultName =>
    dice.roll(2) === 0 ? "none" : (names[dice.roll(names.length)] ?? "none");
  const servers = await Promise.all(
    [1, 2, 3].map((nth) => startFaultyServer({ blocks, seed: `${seed} ${nth}`, fault })),
  );
  const limits = {
    headersTimeoutMs: 50,
    slowWindowMs: 50,
    passedOverBodyMs: 50,
    patienceMs: 200,
    roundPauseMs: 10,
    maxRoundPauseMs: 20,
    restMs: 20,
    maxRestMs: 100,
    banMs: 5,
    maxBanMs: 20,
    notFoundMemoryMs: 50,
    connectionsPerServer: 4,
  };
  const set = createServerSet({
    servers: httpServers(
      servers.map(({ url }) => url),
      limits,
    ),
    clock: systemClock,
    log: silentLogger,
    limits,
  });
  let rightCount = 0;
  const aborted = new Error("aborted by the test");
  const fetchOne = async (index: number): Promise<void> => {
    const block = blocks[index % blocks.length];
    assert.ok(block);
    const controller = new AbortController();
    const cancel =
      dice.roll(5) === 0
        ? systemClock.after(dice.roll(60), () => {
            controller.abort(aborted);
          })
        : () => undefined;
    try {
      const got = await set.fetch({ hash: block.hash, maxBytes: 8192, signal: controller.signal });
      assert.ok(Buffer.from(block.bytes).equals(got.bytes));
      rightCount += 1;
    } catch (error) {
      const isTyped = isBlockMissing(error);
      if (!isTyped && error !== aborted) throw error;
    } finally {
      cancel();
    }
  };
  try {
    for (let round = 0; round < 8; round += 1) {
      await Promise.all(Array.from({ length: 40 }, (_, index) => fetchOne(index)));
    }
    assert.ok(rightCount > 0);
    for (const { requestsUnderWay } of set.status()) assert.equal(requestsUnderWay, 0);
    for (const server of servers) assert.ok(server.mostConnections() <= 3 * 4);
  } finally {
    await set.close();
    await until("every connection is closed", () =>
      servers.every((server) => server.openConnections() === 0),
    );
    for (const server of servers) await server.close();
  }
});

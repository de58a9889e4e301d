/** The simulation can fail: each set of servers here breaks the rules on purpose, and the right claim says so. */
import { strict as assert } from "node:assert";
import { setMaxListeners } from "node:events";
import { describe, it } from "node:test";
import type { BlockRequest } from "../../src/block/ports.js";
import { blockOf, verifyBlock, type VerifiedBlock } from "../../src/block/verify.js";
import { PsyncError } from "../../src/core/errors.js";
import type { HttpServer } from "../../src/fetch/httpServer.js";
import { createServerSet, type ServerSetOptions } from "../../src/fetch/serverSet.js";
import { honestFrom, type Behaviour, type ServerPlan } from "../support/simulation/behaviour.js";
import { violations, type ClaimName } from "../support/simulation/claims.js";
import { BLOCK_BYTES } from "../support/simulation/library.js";
import { runScenario } from "../support/simulation/run.js";
import type { Scenario } from "../support/simulation/scenario.js";
import { BOUNDS, traceOf } from "../support/simulation/seeds.js";

type Fetch = (servers: readonly HttpServer[], request: BlockRequest) => Promise<VerifiedBlock>;

function server(name: string, behaviour?: Behaviour): ServerPlan {
  return {
    name,
    latencyMs: 10,
    jitter: 0.1,
    connectionBytesPerSecond: 10 * BLOCK_BYTES,
    capacityBytesPerSecond: 40 * BLOCK_BYTES,
    holds: () => true,
    phases: behaviour ? [{ fromMs: 0, behaviour, chance: 1 }] : [honestFrom(0)],
  };
}

/** 40 blocks of one file in order, one or some at a time. */
function scenarioOf(
  servers: readonly ServerPlan[],
  more: { readonly kind?: Scenario["kind"]; readonly parallel?: number } = {},
): Scenario {
  const { kind = "mixed", parallel = 1 } = more;
  const reads = Array.from({ length: 40 }, (_, index) => ({
    file: 0,
    offset: index * BLOCK_BYTES,
    length: BLOCK_BYTES,
    thinkMs: 0,
    giveUpAfterMs: undefined,
  }));
  const reader = { startMs: 0, reads, parallel, aheadBlocks: 0, isPromoting: false };
  return {
    seed: 1,
    kind,
    lineBytesPerSecond: Infinity,
    blocksInFlight: 16,
    servers,
    readers: [reader],
  };
}

/** A set that fetches as it is told, without any care but for its requests' signals. */
function setOf(fetch: Fetch): typeof createServerSet {
  return ({ servers }: ServerSetOptions) => ({
    fetch: (request) => fetch(servers, request),
    status: () => [],
    close: () => Promise.resolve(),
  });
}

/** Bounds that 40 reads can break, however many connections a server may have. */
const TIGHT = { ...BOUNDS, limits: { ...BOUNDS.limits, connectionsPerServer: 4 } };

async function brokenClaims(
  scenario: Scenario,
  createSet: typeof createServerSet,
): Promise<ClaimName[]> {
  const run = await runScenario(scenario, { createSet });
  return [...new Set(violations(scenario, run, TIGHT).map(({ claim }) => claim))];
}

/** Asks one after the other, round after round, and thinks nothing of anyone. */
const askInOrder: Fetch = async (servers, request) => {
  for (;;) {
    for (const server of servers) {
      const outcome = await server.fetchBytes(request);
      if (outcome.type !== "bytes") continue;
      try {
        return verifyBlock(request.hash, outcome.bytes);
      } catch {
        continue;
      }
    }
  }
};

const askAllAtOnce: Fetch = async (servers, request) => {
  const controller = new AbortController();
  const ended = new PsyncError("ERR_PSYNC_INTERRUPTED", "another was faster");
  const onAbort = (): void => {
    controller.abort(ended);
  };
  request.signal.addEventListener("abort", onAbort);
  try {
    return await Promise.any(
      servers.map(async (server) => {
        const outcome = await server.fetchBytes({ ...request, signal: controller.signal });
        if (outcome.type !== "bytes") throw ended;
        return verifyBlock(request.hash, outcome.bytes);
      }),
    );
  } finally {
    controller.abort(ended);
    request.signal.removeEventListener("abort", onAbort);
  }
};

const honest = server("honest");
const liar = server("liar", { type: "lie" });
const silent = server("silent", { type: "silent" });
const dead = server("dead", { type: "refuse" });

describe("the simulation", () => {
  it("finds nothing wrong with the real set and honest servers", async () => {
    const scenario = scenarioOf([honest, server("another")]);
    assert.deepEqual(violations(scenario, await runScenario(scenario), BOUNDS), []);
  });

  it("runs a seed in the same way each time", async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      assert.deepEqual(await traceOf(seed), await traceOf(seed));
    }
  });

  it("sees that a set does not verify", async () => {
    const trusting = setOf(async ([first], request) => {
      const outcome = await first?.fetchBytes(request);
      assert.ok(outcome?.type === "bytes");
      return { ...blockOf(outcome.bytes), hash: request.hash };
    });
    const broken = await brokenClaims(scenarioOf([liar, honest]), trusting);
    assert.ok(broken.includes("reads"));
  });

  it("sees that a liar is asked again", async () => {
    const broken = await brokenClaims(scenarioOf([liar, honest]), setOf(askInOrder));
    assert.deepEqual(broken, ["badBytes", "lied"]);
  });

  it("sees that a dead server is hammered", async () => {
    const broken = await brokenClaims(scenarioOf([dead, honest]), setOf(askInOrder));
    assert.deepEqual(broken, ["hammered"]);
  });

  it("sees that the bytes of a broken server are downloaded again and again", async () => {
    const cut = server("cut", { type: "truncate", part: 0.99 });
    const broken = await brokenClaims(scenarioOf([cut, honest]), setOf(askInOrder));
    assert.deepEqual(broken, ["badBytes", "hammered"]);
  });

  it("sees that a reader waits for a silent server for too long", async () => {
    const several = [1, 2, 3].map((nth) => server(`silent${nth}`, { type: "silent" }));
    const broken = await brokenClaims(scenarioOf([...several, honest]), setOf(askInOrder));
    assert.ok(broken.includes("reads"));
  });

  it("sees that races waste bytes", async () => {
    const broken = await brokenClaims(scenarioOf([honest, server("other")]), setOf(askAllAtOnce));
    assert.deepEqual(broken, ["racedBytes"]);
  });

  it("sees that a server is asked only to be cut off at once", async () => {
    const hasty: Fetch = (servers, request) => {
      const controller = new AbortController();
      servers[1]?.fetchBytes({ ...request, signal: controller.signal }).catch(() => undefined);
      controller.abort(new Error("changed its mind"));
      return askInOrder(servers, request);
    };
    const broken = await brokenClaims(scenarioOf([honest, server("other")]), setOf(hasty));
    assert.deepEqual(broken, ["cutAtOnce"]);
  });

  it("sees that a server gets too many requests at once", async () => {
    const many: Fetch = async (servers, request) => {
      setMaxListeners(0, request.signal);
      const all = await Promise.all(Array.from({ length: 20 }, () => askInOrder(servers, request)));
      return all[0] ?? askInOrder(servers, request);
    };
    const broken = await brokenClaims(scenarioOf([honest]), setOf(many));
    assert.ok(broken.includes("connections"));
  });

  it("sees that a 404 is forgotten", async () => {
    const empty = server("empty", { type: "lackAll" });
    const twice: Fetch = async (servers, request) => {
      await servers[0]?.fetchBytes(request);
      return askInOrder(servers, request);
    };
    assert.deepEqual(await brokenClaims(scenarioOf([empty, honest]), setOf(twice)), ["notFound"]);
  });

  it("sees that one of two equal servers does all the work, and that a slow one does", async () => {
    const equal = scenarioOf([honest, server("other")], { kind: "equal", parallel: 4 });
    assert.deepEqual(await brokenClaims(equal, setOf(askInOrder)), ["fair"]);
    const slow = { ...server("slow"), connectionBytesPerSecond: BLOCK_BYTES };
    const faster = scenarioOf([slow, server("fast")], { kind: "faster", parallel: 4 });
    assert.deepEqual(await brokenClaims(faster, setOf(askInOrder)), ["faster"]);
  });

  it("sees what is left behind: requests, timers, and readers that wait for ever", async () => {
    const leaving: Fetch = (servers, request) => {
      const { signal } = new AbortController();
      void servers[1]?.fetchBytes({ ...request, signal });
      return askInOrder(servers.slice(0, 1), request);
    };
    assert.deepEqual(await brokenClaims(scenarioOf([honest, silent]), setOf(leaving)), [
      "connections",
      "leftOver",
    ]);
    const stuck = setOf(() => new Promise(() => undefined));
    assert.deepEqual(await brokenClaims(scenarioOf([honest]), stuck), [
      "reads",
      "lastFetch",
      "leftOver",
    ]);
    const ticking: typeof createServerSet = (options) => {
      options.clock.after(1e9, () => undefined);
      return createServerSet(options);
    };
    assert.deepEqual(await brokenClaims(scenarioOf([honest]), ticking), ["leftOver"]);
  });
});

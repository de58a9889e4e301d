/** One run: a scenario against the real set of servers, with the real store-then-fetch and flights above it. */
import type { BlockSource } from "../../../src/block/ports.js";
import { errorMessage } from "../../../src/core/errors.js";
import { LIMITS, type LimitsOf } from "../../../src/core/limits.js";
import { createLogger } from "../../../src/core/log.js";
import { createServerSet, type ServerSet } from "../../../src/fetch/serverSet.js";
import { withSingleFlight } from "../../../src/source/singleFlight.js";
import { createStoreThenFetch } from "../../../src/source/storeThenFetch.js";
import { createMemoryStore } from "../memoryStore.js";
import { drive, promisesSettle } from "./eventClock.js";
import { lookForLeftOver } from "./leftOver.js";
import { BLOCK_BYTES, createLibrary, SCALE } from "./library.js";
import { runReader } from "./readers.js";
import type { ReadRecord, RunRecord } from "./record.js";
import type { Scenario } from "./scenario.js";
import { createSimulatedServer } from "./simulatedServer.js";
import { createWorld } from "./world.js";

export interface RunOptions {
  /** Whether each event is told in a line. */
  readonly isTraced?: boolean;
  /** In place of the real one. */
  readonly createSet?: typeof createServerSet;
}

/** Far more than all reads of a scenario take, each to its deadline. */
const MAX_RUN_MS = 30 * 60_000;

/** LIMITS.fetch as they are, but what is counted in bytes is as much smaller as blocks are. */
export const SCALED_LIMITS = Object.fromEntries(
  Object.entries(LIMITS.fetch).map(([name, value]) => [
    name,
    /Bytes(PerSecond)?$/.test(name) ? value / SCALE : value,
  ]),
) as LimitsOf<"fetch">;

export const LIBRARY = await createLibrary();

export async function runScenario(
  scenario: Scenario,
  { isTraced = false, createSet = createServerSet }: RunOptions = {},
): Promise<RunRecord> {
  const { seed, lineBytesPerSecond, blocksInFlight } = scenario;
  const library = LIBRARY;
  const limits = SCALED_LIMITS;
  const world = createWorld({ seed, library, limits, lineBytesPerSecond, isTraced });
  const { clock } = world;
  const servers = scenario.servers.map((plan) => createSimulatedServer(plan, world));
  const log = createLogger((level, message) => {
    world.note(() => `log ${level}: ${message}`);
  }, "debug");
  const set: ServerSet = createSet({ servers, clock, log, limits, unixMs: () => clock.nowMs() });
  // Swapped at the end, to see how many places are free.
  let fetcher: BlockSource = world.watched(set);
  const stored = createStoreThenFetch({
    clock,
    store: createMemoryStore(),
    fetcher: { fetch: (request) => fetcher.fetch(request) },
    log,
    blocksInFlight,
    inFlightBytes: Math.max(LIMITS.memory.inFlightBytes / SCALE, blocksInFlight * BLOCK_BYTES),
    storeReadBytes: LIMITS.memory.storeReadBytes / SCALE,
    keptForWaiting: {
      blocksInFlight: LIMITS.read.blocksKeptForWaiting,
      inFlightBytes: LIMITS.memory.inFlightKeptForWaitingBytes / SCALE,
      storeReadBytes: LIMITS.memory.storeReadKeptForWaitingBytes / SCALE,
    },
  });
  const failureMemoryMs = LIMITS.read.failedBlockMemoryMs;
  const source = withSingleFlight(stored, { clock, failureMemoryMs });

  // Node's own answer would not say in which seed it was.
  const rejections: string[] = [];
  const onRejection = (error: unknown): void => {
    rejections.push(`nobody handled a rejection: ${errorMessage(error)}`);
  };
  process.on("unhandledRejection", onRejection);
  const reads: ReadRecord[] = [];
  let isDone = false;
  void Promise.all(
    scenario.readers.map((plan, reader) =>
      runReader({ world, library, source, reads }, reader, plan),
    ),
  ).then(() => {
    isDone = true;
  });
  const end = await drive(clock, { isDone: () => isDone, endMs: MAX_RUN_MS });
  const endedMs = clock.nowMs();
  // What was asked for ahead is given up now.
  await promisesSettle();
  const requests = [...world.requests];
  const left = await lookForLeftOver({
    end,
    world,
    set,
    servers,
    stored,
    blocksInFlight,
    block: library.hashOf(0),
    setFetcher: (next) => {
      fetcher = next;
    },
  });
  process.off("unhandledRejection", onRejection);
  return {
    requests,
    reads,
    endedMs,
    leftOver: [...left.leftOver, ...rejections],
    lastFetch: left.lastFetch,
    trace: world.trace,
  };
}

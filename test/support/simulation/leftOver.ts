/** Looks, after the readers have gone, for what they should not have left behind: timers, requests, taken places. */
import { setMaxListeners } from "node:events";
import type { BlockHash } from "../../../src/block/hash.js";
import type { BlockRequest, BlockSource } from "../../../src/block/ports.js";
import { blockOf } from "../../../src/block/verify.js";
import { withDeadline } from "../../../src/core/abort.js";
import { errorMessage } from "../../../src/core/errors.js";
import { LIMITS } from "../../../src/core/limits.js";
import type { ServerSet } from "../../../src/fetch/serverSet.js";
import type { StoreThenFetch } from "../../../src/source/storeThenFetch.js";
import { drive, promisesSettle, type DriveEnd } from "./eventClock.js";
import { BLOCK_BYTES } from "./library.js";
import type { RunRecord } from "./record.js";
import type { SimulatedServer } from "./simulatedServer.js";
import type { World } from "./world.js";

export interface LeftOverParts {
  readonly end: DriveEnd;
  readonly world: World;
  readonly set: ServerSet;
  readonly servers: readonly SimulatedServer[];
  readonly stored: StoreThenFetch;
  readonly blocksInFlight: number;
  /** One that an honest server has. */
  readonly block: BlockHash;
  /** Puts a source in the place of the set. */
  readonly setFetcher: (fetcher: BlockSource) => void;
}

export type LeftOver = Pick<RunRecord, "leftOver" | "lastFetch">;

/** Says what is left, a line each; nothing where all is as it should be. The set is closed afterwards. */
export async function lookForLeftOver(parts: LeftOverParts): Promise<LeftOver> {
  const { end, world, servers } = parts;
  const { clock } = world;
  const problems: string[] = [];
  if (end === "idle") problems.push("readers wait, and nothing is going to happen");
  if (end === "late") problems.push("readers were not done when the time was up");
  problems.push(...underWay("after the readers", parts));
  problems.push(...(await takenPlaces(parts)));
  const lastFetch = await fetchOnce(parts);
  problems.push(...underWay("after a last fetch", parts));
  problems.push(...(await closing(parts)));
  if (clock.pendingCount() > 0) problems.push("timers are left after the set was closed");
  if (servers.some((server) => server.underWay() > 0)) {
    problems.push("requests are left after the set was closed");
  }
  return { leftOver: problems, lastFetch };
}

function underWay(when: string, { world, set, servers }: LeftOverParts): string[] {
  const problems: string[] = [];
  const timerCount = world.clock.pendingCount();
  if (timerCount > 0) problems.push(`${timerCount} timers are left ${when}`);
  for (const server of servers) {
    const count = server.underWay();
    if (count > 0) problems.push(`${count} requests to ${server.name} are left ${when}`);
  }
  for (const { server, requestsUnderWay } of set.status()) {
    if (requestsUnderWay === 0) continue;
    problems.push(`the set counts ${requestsUnderWay} requests to ${server} ${when}`);
  }
  return problems;
}

/** As many fetches as there are places must all get one at once. */
async function takenPlaces({
  stored,
  blocksInFlight: count,
  setFetcher,
}: LeftOverParts): Promise<string[]> {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  let begun = 0;
  setFetcher({
    fetch: ({ signal }: BlockRequest) =>
      new Promise((_, reject) => {
        begun += 1;
        signal.addEventListener("abort", () => {
          reject(new Error("enough was seen"));
        });
      }),
  });
  for (let index = 0; index < count; index += 1) {
    const { hash } = blockOf(Buffer.from(`place ${index}`));
    const request = { hash, maxBytes: BLOCK_BYTES, signal: controller.signal };
    stored.fetch(request).catch(() => undefined);
  }
  await promisesSettle();
  controller.abort(new Error("enough was seen"));
  await promisesSettle();
  return begun === count ? [] : [`only ${begun} of ${count} places are free after the readers`];
}

/** The set still works. */
async function fetchOnce({ world, set, block }: LeftOverParts): Promise<string | undefined> {
  const { clock } = world;
  let outcome = "did not end";
  const timeoutMs = LIMITS.read.deadlineMs;
  const onDeadline = (): Error => new Error("not in time");
  withDeadline({ clock, timeoutMs, onDeadline }, (signal) =>
    world.watched(set).fetch({ hash: block, maxBytes: BLOCK_BYTES, signal }),
  ).then(
    () => {
      outcome = "done";
    },
    (error: unknown) => {
      outcome = errorMessage(error);
    },
  );
  const isDone = (): boolean => outcome !== "did not end";
  await drive(clock, { isDone, endMs: clock.nowMs() + 2 * timeoutMs });
  // What the fetch let go of at its end.
  await promisesSettle();
  return outcome === "done" ? undefined : outcome;
}

async function closing({ world, set }: LeftOverParts): Promise<string[]> {
  const problems = ["the set does not close"];
  void set.close().then(() => {
    problems.pop();
  });
  const { clock } = world;
  await drive(clock, { isDone: () => problems.length === 0, endMs: clock.nowMs() });
  return problems;
}

/**
 * Each system call that opens, writes, syncs or renames fails in turn: a first run of export, get and the cache tells
 * which there are, then each is made to fail in a run of its own, with an error that the dice choose. With
 * PSYNC_TEST_RUNS=N it is N errors of each call; five are all there are.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseBlockHash } from "../../src/block/hash.js";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { createDice, seededBlock, seededBytes, type Dice } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { startHonestServer } from "../support/honestServer.js";
import { listOf } from "../support/lists.js";
import { runsOr } from "../support/runs.js";
import { SEED } from "../support/seed.js";
import { lostBlocks, problemsAfterStart, wrongBlocks } from "../support/storeCheck.js";
import type { SystemCall } from "../support/straced.js";
import { tempFolder } from "../support/tempFolder.js";
import { noTraceReason, runTraced, type Fault, type TracedRun } from "../support/tracedRun.js";

const FAULTS = ["ENOSPC", "EIO", "EMFILE", "EINTR", "SIGKILL"] as const;
const FAULTS_OF_CALL = Math.min(runsOr(1), FAULTS.length);
const NAMES = ["openat", "write", "pwrite64", "fsync", "fdatasync", "rename"] as const;
const LANES = 2;
const BLOCK_BYTES = 4096;
const QUOTA_BYTES = 4 * BLOCK_BYTES;
const skip = await noTraceReason();

interface Scenario {
  readonly args: readonly string[];
  /** What a run that ended with status 0 has promised, besides the hashes it printed. */
  readonly promised: readonly string[];
}

interface Places {
  readonly store: string;
  readonly folder: string;
  readonly list: string;
}

const bytes = seededBytes("traced", 3 * BLOCK_BYTES - 100);

/** Each with a store of its own, in which lie a kept block, and a cached one that is to be kept. */
const SCENARIOS: Readonly<Record<string, (places: Places, url: string) => Promise<Scenario>>> = {
  async export({ store, folder }) {
    const options = ["--block-size", `${BLOCK_BYTES}`, "--store", store];
    return { args: ["cli", "export", join(folder, "file"), ...options], promised: await hashes() };
  },
  async "export into a list"({ store, folder, list }) {
    const options = ["--block-size", `${BLOCK_BYTES}`, "--store", store, "-o", list];
    return { args: ["cli", "export", join(folder, "file"), ...options], promised: await hashes() };
  },
  async get({ store, folder }, url) {
    const list = join(folder, "given.hashlist");
    await writeFile(list, (await listOf(bytes, BLOCK_BYTES)).text);
    return { args: ["cli", "get", url, list, "--store", store], promised: await hashes() };
  },
  // Cached blocks and rows of the index: nothing is promised of them.
  cache: ({ store }) => Promise.resolve({ args: ["cache", store, `${QUOTA_BYTES}`], promised: [] }),
};

async function hashes(): Promise<string[]> {
  return [...(await listOf(bytes, BLOCK_BYTES)).blocks.keys()];
}

describe(`a system call that fails (seed ${SEED})`, { skip }, () => {
  for (const [name, prepare] of Object.entries(SCENARIOS)) {
    it(`KEEP-1, KEEP-2, STORE-4, CRASH-1: in ${name}: the right bytes, or an error and a clean store`, async (t) => {
      const { blocks } = await listOf(bytes, BLOCK_BYTES);
      const server = await startHonestServer([...blocks.values()]);
      cleanUp(t, () => server.close());
      const template = await templateStore(t);
      const runOne = async (fault?: Fault): Promise<readonly SystemCall[]> => {
        const folder = await tempFolder(t);
        const places = { folder, store: join(folder, "store"), list: join(folder, "a.hashlist") };
        await cp(template, places.store, { recursive: true });
        await writeFile(join(folder, "file"), bytes);
        const scenario = await prepare(places, server.url);
        const run = await runTraced(t, { folder, args: scenario.args, names: NAMES, fault });
        await check({ run, scenario, places, fault });
        const { calls } = run;
        await rm(folder, { recursive: true, force: true });
        return calls.filter(({ args }) => args.includes(folder));
      };
      const calls = await runOne();
      const faults = faultsOf(calls, createDice(`fault ${SEED} ${name}`));
      t.diagnostic(`${faults.length} runs`);
      const lane = async (): Promise<void> => {
        for (let fault = faults.pop(); fault; fault = faults.pop()) await runOne(fault);
      };
      await Promise.all(Array.from({ length: LANES }, lane));
    });
  }
});

/** Every call of the first run, each name counted in its thread. */
function faultsOf(calls: readonly SystemCall[], dice: Dice): Fault[] {
  const most = new Map<string, number>();
  for (const name of NAMES) {
    const counts = new Map<string, number>();
    for (const call of calls.filter((each) => each.name === name)) {
      counts.set(call.thread, (counts.get(call.thread) ?? 0) + 1);
    }
    most.set(name, Math.max(0, ...counts.values()));
  }
  return [...most].flatMap(([name, count]) =>
    Array.from({ length: count }, (_, i) => i + 1).flatMap((nth) => {
      const first = dice.roll(FAULTS.length);
      return Array.from({ length: FAULTS_OF_CALL }, (_, i) => ({
        name,
        nth,
        what: FAULTS[(first + i) % FAULTS.length] ?? "EIO",
      }));
    }),
  );
}

async function templateStore(t: CleanUpContext): Promise<string> {
  const path = join(await tempFolder(t), "store");
  const store = await openStore({ path, clock: systemClock, log: silentLogger });
  const [kept, cached] = [...(await listOf(bytes, BLOCK_BYTES)).blocks.values()];
  assert.ok(kept && cached);
  await store.blocks.keep([kept]);
  await store.blocks.cache(cached);
  await store.blocks.cache(seededBlock("cached before", BLOCK_BYTES));
  await store.close();
  return path;
}

async function check({
  run,
  scenario,
  places,
  fault,
}: {
  readonly run: TracedRun;
  readonly scenario: Scenario;
  readonly places: Places;
  readonly fault: Fault | undefined;
}): Promise<void> {
  const { status, lines, stderr, calls } = run;
  const { store, list } = places;
  const hit = calls.filter(({ result }) => result.includes("INJECTED"));
  const where = hit.map(({ name, args }) => `${name}(${args.slice(0, 200)})`).join(" and ");
  const note = `seed ${SEED}: ${JSON.stringify(fault)} at ${where}: status ${status}\n${stderr}`;
  if (fault === undefined) assert.equal(status, 0, note);
  const isInStore = hit.length > 0 && hit.every(({ args }) => args.includes(store));
  // libuv ends the process when it cannot wake its own threads: that is a kill like any other.
  const mayDie =
    fault?.what === "SIGKILL" || hit.some(({ args }) => /<(anon_inode|pipe|socket)/.test(args));
  const isConfig = hit.some(({ args }) => args.includes("config.json"));
  const statuses = [
    0,
    7,
    ...(isInStore ? [] : [1]),
    ...(isConfig ? [2] : []),
    ...(mayDie ? [null] : []),
  ];
  assert.ok(statuses.includes(status), note);
  if (status !== null && status !== 0) {
    assert.match(stderr, /^psync: /m, note);
    assert.doesNotMatch(stderr, /^ {4}at /m, note);
  }
  const said = lines.filter((line) => parseBlockHash(line) !== undefined);
  if (existsSync(list)) {
    const text = await readFile(list, "utf8");
    said.push(...text.split("\n").filter((line) => parseBlockHash(line) !== undefined));
  }
  if (status === 0) said.push(...scenario.promised);
  assert.deepEqual(lostBlocks(store, said), [], note);
  assert.deepEqual(wrongBlocks(store, ["blocks", "cache"]), [], note);
  const left = await problemsAfterStart(store, {
    quotaBytes: Math.max(QUOTA_BYTES, 10 * BLOCK_BYTES),
    killedCount: 1,
    largestBlockBytes: BLOCK_BYTES,
  });
  assert.deepEqual(left, [], note);
}

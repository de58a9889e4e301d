/**
 * Each system call that makes, opens, writes, syncs, renames or removes fails in turn: a first run of a command tells which
 * there are, then each is made to fail in a run of its own, with an error that the dice choose. Thirty of a command are
 * done, or with PSYNC_TEST_RUNS=N all of them with N errors each; five are all there are.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseBlockHash } from "../../src/block/hash.js";
import { checkLocalStore } from "../../src/compose.js";
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
import { flipBit } from "../support/storeFixtures.js";
import type { SystemCall } from "../support/straced.js";
import { tempFolder } from "../support/tempFolder.js";
import { noTraceReason, runTraced, type Fault, type TracedRun } from "../support/tracedRun.js";

const FAULTS = ["ENOSPC", "EIO", "EMFILE", "EINTR", "SIGKILL"] as const;
const FAULTS_OF_CALL = Math.min(runsOr(1), FAULTS.length);
const MOST_FAULTS = "PSYNC_TEST_RUNS" in process.env ? Infinity : 30;
/** Part of the faults that must have met a call: not each run makes the same calls. */
const LEAST_HIT = 0.8;
const NAMES = [
  ...["openat", "write", "pwrite64", "fsync", "fdatasync"],
  ...["rename", "link", "unlink", "mkdir"],
] as const;
const LANES = 2;
const BLOCK_BYTES = 4096;
const QUOTA_BYTES = 4 * BLOCK_BYTES;
const skip = await noTraceReason();

interface Scenario {
  readonly args: readonly string[];
  /** What a run that ended with status 0 has promised, besides the hashes it printed. */
  readonly promised?: readonly string[];
  /** Kept before, and needed: it stays, whatever comes of the run. */
  readonly stays?: readonly string[];
  /** Kept blocks that a run with status 0 has taken away. */
  readonly goes?: readonly string[];
  /** A status that a run may have besides, where a fault was in the way. */
  readonly status?: number;
  /** A check may be interrupted, and leaves what is bad to the next one. */
  readonly isRepair?: boolean;
}

interface Places {
  readonly store: string;
  readonly folder: string;
  readonly list: string;
}

const bytes = seededBytes("traced", 3 * BLOCK_BYTES - 100);
const { text: listText, blocks: listed } = await listOf(bytes, BLOCK_BYTES);
const hashes = [...listed.keys()];
const [kept, cached] = listed.values();
assert.ok(kept && cached);
const stays = [kept.hash];
const garbage = [0, 1, 2].map((nth) => seededBlock(`unneeded ${nth}`, BLOCK_BYTES));
const goes = garbage.map(({ hash }) => hash);

/** Each with a store of its own, in which lie a kept block, and a cached one that is to be kept. */
const SCENARIOS: Readonly<Record<string, (places: Places, url: string) => Promise<Scenario>>> = {
  export({ store, folder }) {
    const options = ["--block-size", `${BLOCK_BYTES}`, "--store", store];
    const args = ["cli", "export", join(folder, "file"), ...options];
    return Promise.resolve({ args, promised: hashes, stays });
  },
  async "export into a list and a new store"({ store, folder, list }) {
    await rm(store, { recursive: true });
    const options = ["--block-size", `${BLOCK_BYTES}`, "--store", store, "-o", list];
    return { args: ["cli", "export", join(folder, "file"), ...options], promised: hashes };
  },
  async get({ store, folder }, url) {
    const given = await listIn(folder, "given", listText);
    return { args: ["cli", "get", url, given, "--store", store], promised: hashes, stays };
  },
  async pin({ store, folder }, url) {
    const lists = join(folder, "lists");
    await listIn(lists, "given", listText);
    const args = ["cli", "pin", lists, "--server", url, "--store", store];
    return { args, promised: hashes, stays, status: 3 };
  },
  async gc({ store, folder }) {
    const lists = join(folder, "lists");
    await listIn(lists, "given", listText);
    await keepGarbage(store);
    const args = ["cli", "gc", "--keep", lists, "--yes", "--store", store];
    return { args, stays, goes, status: 3 };
  },
  async unpin({ store, folder }) {
    const given = await listIn(join(folder, "lists"), "given", listText);
    const old = await listIn(folder, "old", goes.map((hash) => `${hash}\n`).join(""));
    await keepGarbage(store);
    const args = ["cli", "unpin", old, "--keep", given, "--store", store];
    return { args, stays, goes, status: 3 };
  },
  async "fsck --repair"({ store }) {
    await flipBit(join(store, "blocks", kept.hash));
    await writeFile(join(store, "cache", kept.hash), kept.bytes);
    const args = ["cli", "fsck", "--repair", "--store", store];
    return { args, promised: stays, status: 5, isRepair: true };
  },
  // Cached blocks and rows of the index: nothing is promised of them.
  cache: ({ store }) => Promise.resolve({ args: ["cache", store, `${QUOTA_BYTES}`], stays }),
};

async function listIn(folder: string, name: string, text: string): Promise<string> {
  const path = join(folder, `${name}.hashlist`);
  await mkdir(folder, { recursive: true });
  await writeFile(path, text);
  return path;
}

async function keepGarbage(path: string): Promise<void> {
  const store = await openStore({ path, clock: systemClock, log: silentLogger });
  await store.blocks.keep(garbage);
  await store.close();
}

describe(`a system call that fails (seed ${SEED})`, { skip }, () => {
  for (const [name, prepare] of Object.entries(SCENARIOS)) {
    it(`KEEP-1, KEEP-2, STORE-4, CRASH-1: in ${name}: the right bytes, or an error and a clean store`, async (t) => {
      const server = await startHonestServer([...listed.values()]);
      cleanUp(t, () => server.close());
      const template = await templateStore(t);
      const hit = { count: 0, killCount: 0, ownCount: 0 };
      const runOne = async (fault?: Fault): Promise<readonly OwnCall[]> => {
        const folder = await tempFolder(t);
        const places = { folder, store: join(folder, "store"), list: join(folder, "a.hashlist") };
        await cp(template, places.store, { recursive: true });
        await writeFile(join(folder, "file"), bytes);
        const scenario = await prepare(places, server.url);
        const run = await runTraced(t, { folder, args: scenario.args, names: NAMES, fault });
        await check({ run, scenario, places, fault });
        await rm(folder, { recursive: true, force: true });
        const met = run.calls.filter(isMet);
        const isKilled = fault?.what === "SIGKILL" && run.status === null;
        if (isKilled) hit.killCount += 1;
        if (isKilled || met.length > 0) hit.count += 1;
        if (met.some(({ args }) => args.includes(folder))) hit.ownCount += 1;
        return ownCalls(run.calls, folder);
      };
      const faults = faultsOf(await runOne(), createDice(`fault ${SEED} ${name}`));
      const { length } = faults;
      const lane = async (): Promise<void> => {
        for (let fault = faults.pop(); fault; fault = faults.pop()) await runOne(fault);
      };
      await Promise.all(Array.from({ length: LANES }, lane));
      t.diagnostic(
        `${length} runs; ${hit.count} faults were met, ${hit.ownCount} at its own files`,
      );
      assert.ok(hit.count >= LEAST_HIT * length, "hardly any fault was met");
      const toldCount = hit.count - hit.killCount;
      assert.ok(hit.ownCount >= toldCount / 2, "hardly any fault was met at a file of the run");
    });
  }
});

/** Where a signal takes the place of the call's end the trace does not say so. */
function isMet({ result }: SystemCall): boolean {
  return result.includes("INJECTED");
}

/** A call that has to do with the folder of its run, as strace counts it: among all of its name in its thread. */
interface OwnCall {
  readonly name: string;
  readonly nth: number;
}

function ownCalls(calls: readonly SystemCall[], folder: string): OwnCall[] {
  const counts = new Map<string, number>();
  const own: OwnCall[] = [];
  for (const { name, thread, args } of calls) {
    const nth = (counts.get(`${thread} ${name}`) ?? 0) + 1;
    counts.set(`${thread} ${name}`, nth);
    if (args.includes(folder)) own.push({ name, nth });
  }
  return own;
}

/** Calls of a first run that are to fail, in any order, but of each name as many as of any other while there are. */
function faultsOf(calls: readonly OwnCall[], dice: Dice): Fault[] {
  const ofName = NAMES.map((name) => {
    const nths = new Set(calls.filter((call) => call.name === name).map(({ nth }) => nth));
    const inAnyOrder = [...nths].map((nth) => ({ nth, rank: dice.roll(1e9) }));
    inAnyOrder.sort((a, b) => a.rank - b.rank);
    return inAnyOrder.flatMap(({ nth }) => {
      const first = dice.roll(FAULTS.length);
      return Array.from({ length: FAULTS_OF_CALL }, (_, i) => ({
        name,
        nth,
        what: FAULTS[(first + i) % FAULTS.length] ?? "EIO",
      }));
    });
  });
  const longest = Math.max(...ofName.map(({ length }) => length));
  const inTurn = Array.from({ length: longest }, (_, i) =>
    ofName.flatMap((faults) => faults[i] ?? []),
  );
  return inTurn.flat().slice(0, MOST_FAULTS);
}

async function templateStore(t: CleanUpContext): Promise<string> {
  assert.ok(kept && cached);
  const path = join(await tempFolder(t), "store");
  const store = await openStore({ path, clock: systemClock, log: silentLogger });
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
  const hit = calls.filter(isMet);
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
    ...(fault && scenario.status !== undefined ? [scenario.status] : []),
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
  if (status === 0) said.push(...(scenario.promised ?? []));
  const { goes: unneeded = [] } = scenario;
  if (status === 0) assert.equal(lostBlocks(store, unneeded).length, unneeded.length, note);
  said.push(...(scenario.stays ?? []));
  if (scenario.isRepair === true) said.push(...(await repairAgain(store, note)));
  assert.deepEqual(lostBlocks(store, said), [], note);
  assert.deepEqual(wrongBlocks(store, ["blocks", "cache"]), [], note);
  const left = await problemsAfterStart(store, {
    quotaBytes: Math.max(QUOTA_BYTES, 10 * BLOCK_BYTES),
    killedCount: 1,
    largestBlockBytes: BLOCK_BYTES,
  });
  assert.deepEqual(left, [], note);
}

/** Whatever came of a repair, the next one makes all right. @returns what is kept then */
async function repairAgain(path: string, note: string): Promise<readonly string[]> {
  const { signal } = new AbortController();
  const store = await openStore({ path, clock: systemClock, log: silentLogger });
  try {
    const { problems } = await checkLocalStore(
      { store, source: undefined, log: silentLogger },
      { repair: true, jobs: 1, restart: false, signal },
    );
    assert.deepEqual(
      problems.filter(({ outcome }) => outcome !== "restored"),
      [],
      note,
    );
  } finally {
    await store.close();
  }
  // What was bad stays there for its user to look at.
  await rm(join(path, "quarantine"), { recursive: true });
  return stays;
}

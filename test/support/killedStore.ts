/**
 * One store under load, whose processes are killed round after round: export, get, pin, mount, gc and unpin, as psync and
 * as workers, side by side. After each round all that was said to be kept and is needed must be there, and nothing be wrong.
 */
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BlockHash } from "../../src/block/hash.js";
import type { HashSet } from "../../src/block/hashSet.js";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { findLists } from "../../src/hashlist/findLists.js";
import { findMount } from "../../src/core/mountTable.js";
import { openStore, type Store } from "../../src/store/openStore.js";
import { findUnneeded, namedBlocks } from "../../src/transfer/keptBlocks.js";
import { createDice, seededBlock, seededBytes, type Dice } from "./blocks.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { psyncOk } from "./cli.js";
import { killAtRandom, processesOf } from "./doomed.js";
import { startHonestServer, type HonestServer } from "./honestServer.js";
import {
  BLOCK_BYTES,
  FILE_BLOCKS,
  FILE_COUNT,
  makeKillPaths,
  QUOTA_BYTES,
  startParts,
  type KillPaths,
  type Round,
} from "./killedParts.js";
import { listOf } from "./lists.js";
import { unmountAfter } from "./mountedCli.js";
import { fsckProblems, lostBlocks, problemsAfterStart, wrongBlocks } from "./storeCheck.js";
import { tempFolder } from "./tempFolder.js";
import { until } from "./until.js";

const { signal } = new AbortController();
const SWEEPERS: readonly Round["sweeper"][] = ["gc", "gc", "unpin", "psync gc", "psync unpin"];
/** Blocks of the round before that no list names, and that a process which is not killed claims. */
const HELD_COUNT = 5;

/** How many were killed in a round, and how many blocks workers took out of blocks/ in it. */
export interface RoundTotals {
  readonly killedCount: number;
  readonly takenCount: number;
}

/**
 * @param mayGoOn told of each round, and says whether there is another
 * @returns what was wrong; the store is dropped at the first problem
 */
export async function killRounds(
  t: CleanUpContext,
  { seed: storeSeed, rounds }: { readonly seed: number; readonly rounds: number },
  mayGoOn: (totals: RoundTotals) => boolean,
): Promise<string[]> {
  const folder = await tempFolder(t);
  const paths = await makeKillPaths(folder);
  unmountAfter(t, paths.mountpoint);
  const server = await startHonestServer([]);
  cleanUp(t, () => server.close());
  let said = new Set<string>();
  const files: Files = { current: new Map(), dropped: new Map() };
  const problems: string[] = [];
  const aheadBefore = new Set<string>();
  let isOver = false;
  for (let nth = 0; nth < rounds && problems.length === 0 && !isOver; nth += 1) {
    const seed = `${storeSeed}/${nth}`;
    const dice = createDice(`kill ${seed}`);
    await newFiles({ seed, dice, paths, server }, files);
    await dropExported(paths, dice);
    const named = await namedIn(paths.needed);
    said = new Set([...said].filter((hash) => named.has(hash as BlockHash)));
    const sweeper = chooseSweeper(dice, files);
    const holder = sweeper ? await startHolder(paths, seed, named) : undefined;
    const garbage = holder?.garbage ?? [];
    const shared = { dice, storeSeed, seed, paths, server, files: files.current };
    const parts = startParts({ ...shared, garbage, sweeper, problems });
    for (const { doomed } of parts) {
      cleanUp(t, () => {
        doomed.kill();
      });
    }
    const killed = await Promise.all(
      parts.map((part) => killAtRandom(part.doomed, createDice(`${seed} ${dice.roll(1e9)}`), part)),
    );
    const takenCount = parts.flatMap(({ doomed }) => doomed.lines()).filter(isOfTaken).length;
    isOver = !mayGoOn({ killedCount: killed.filter(Boolean).length, takenCount });
    for (const part of parts) {
      const status = await part.doomed.ended;
      if (status !== null && status !== 0) problems.push(`status ${status}`, part.doomed.stderr());
      for (const hash of await part.said(status)) said.add(hash);
    }
    await until("what the killed ones started has ended", () => processesOf(folder).length === 0);
    problems.push(
      ...wrongBlocks(paths.store, ["blocks", "cache"]),
      ...lostBlocks(paths.store, [...said, ...(holder?.held ?? [])]),
    );
    await holder?.store.close();
    problems.push(
      ...(await problemsAfterStart(paths.store, {
        quotaBytes: QUOTA_BYTES,
        killedCount: parts.length,
        largestBlockBytes: BLOCK_BYTES,
        aheadBefore,
      })),
    );
  }
  problems.push(...(await problemsOfSweep(paths)), ...lostBlocks(paths.store, said));
  problems.push(...(await fsckProblems(paths.store)));
  if (await findMount(paths.mountpoint)) {
    await psyncOk(["umount", paths.mountpoint], { store: paths.store });
    if (await findMount(paths.mountpoint)) problems.push("the mount is left");
  }
  await rm(paths.store, { recursive: true, force: true });
  return problems;
}

function isOfTaken(line: string): boolean {
  return line === "taken";
}

interface Files {
  readonly current: Map<string, Buffer>;
  /** Those whose lists are needed no more, until they are wanted again. */
  readonly dropped: Map<string, Buffer>;
}

/** Files and their lists, in the place of those of two rounds ago: new ones, and some that were dropped before. */
async function newFiles(
  round: Pick<Round, "seed" | "dice" | "paths"> & { readonly server: HonestServer },
  { current, dropped }: Files,
): Promise<void> {
  const { seed, dice, paths, server } = round;
  const move = (name: string, from: string, to: string): Promise<void> =>
    rename(join(from, `${name}.hashlist`), join(to, `${name}.hashlist`));
  while (current.size > FILE_COUNT) {
    const [[oldest, bytes] = ["", Buffer.alloc(0)]] = current;
    current.delete(oldest);
    dropped.set(oldest, bytes);
    await move(oldest, paths.lists, paths.dropped);
  }
  for (let nth = 0; nth < FILE_COUNT; nth += 1) {
    const [again, known] = [...dropped][dice.roll(3 * dropped.size)] ?? [];
    if (again !== undefined && known) {
      dropped.delete(again);
      current.set(again, known);
      await move(again, paths.dropped, paths.lists);
      continue;
    }
    const name = `${seed}-${nth}`.replace("/", "-");
    const lastBytes = 1 + dice.roll(BLOCK_BYTES);
    const bytes = seededBytes(name, (FILE_BLOCKS - 1) * BLOCK_BYTES + lastBytes);
    const { text, blocks } = await listOf(bytes, BLOCK_BYTES);
    await server.store.keep([...blocks.values()]);
    await writeFile(join(paths.files, name), bytes);
    // Lists are replaced by a rename, as docs/operations.md says.
    await writeFile(join(paths.files, "new"), text);
    await rename(join(paths.files, "new"), join(paths.lists, `${name}.hashlist`));
    current.set(name, bytes);
  }
}

/** Some lists of what was exported are needed no more. */
async function dropExported({ exported, dropped }: KillPaths, dice: Dice): Promise<void> {
  const names = (await readdir(exported)).filter((name) => name.endsWith(".hashlist")).sort();
  for (const name of names) {
    const fate = dice.roll(4);
    if (fate === 0) await rm(join(exported, name));
    if (fate === 1) await rename(join(exported, name), join(dropped, name));
  }
}

async function namedIn(folder: string): Promise<HashSet> {
  return (await namedBlocks(findLists([folder], { signal }))).hashes;
}

function chooseSweeper(dice: Dice, { dropped }: Files): Round["sweeper"] {
  const sweeper = SWEEPERS[dice.roll(SWEEPERS.length + 2)];
  const isPossible = sweeper === "gc" || sweeper === "psync gc" || dropped.size > 0;
  return isPossible ? sweeper : undefined;
}

interface Holder {
  readonly store: Store;
  /** What it claims, and is in no list. */
  readonly held: readonly BlockHash[];
  /** Some of what nobody needs. */
  readonly garbage: readonly BlockHash[];
}

/** A process that is not killed, this one: it claims blocks that no list names, old ones and a new one. */
async function startHolder(paths: KillPaths, seed: string, named: HashSet): Promise<Holder> {
  const store = await openTheStore(paths);
  const unnamed: BlockHash[] = [];
  for await (const hash of store.list("kept")) if (!named.has(hash)) unnamed.push(hash);
  unnamed.sort();
  const held = unnamed.slice(0, HELD_COUNT);
  const fresh = seededBlock(`held ${seed}`, BLOCK_BYTES);
  await store.blocks.sync(held);
  await store.blocks.keep([fresh]);
  const garbage = unnamed.slice(HELD_COUNT, 3 * HELD_COUNT);
  return { store, held: [...held, fresh.hash], garbage };
}

/** Nobody claims anything any more: what no list names goes, all of it, and of claims nothing is left. */
async function problemsOfSweep(paths: KillPaths): Promise<string[]> {
  const store = await openTheStore(paths);
  try {
    const sweep = await store.startSweep();
    try {
      const named = await namedIn(paths.needed);
      const parts = { store: store.blocks, named, claimed: store.claimed(), signal };
      const { hashes, claimedCount } = await findUnneeded(store.list("kept"), parts);
      const totals = await sweep.take(hashes, "nowhere", { signal });
      const stayedCount = claimedCount + totals.claimedCount;
      const left = (await readdir(join(paths.store, "claims"))).filter((name) => /^\d/.test(name));
      return [
        ...(stayedCount > 0 ? [`${stayedCount} blocks stay, claimed by nobody`] : []),
        ...left.map((name) => `claims/${name} is left over`),
      ];
    } finally {
      sweep.close();
    }
  } finally {
    await store.close();
  }
}

function openTheStore({ store }: KillPaths): Promise<Store> {
  const options = { path: store, clock: systemClock, log: silentLogger };
  return openStore({ ...options, cacheQuotaBytes: QUOTA_BYTES });
}

/**
 * One store under load, whose processes are killed round after round: export, get and mount, as psync and as workers,
 * side by side. After each round all that was said to be kept must be there, and nothing be wrong.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { findMount } from "../../src/core/mountTable.js";
import { readHashlist } from "../../src/hashlist/readHashlist.js";
import { createDice, seededBytes, type Dice } from "./blocks.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { psyncOk } from "./cli.js";
import {
  killAtRandom,
  processesOf,
  startDoomedPsync,
  startDoomedWorker,
  type Doomed,
} from "./doomed.js";
import { startHonestServer, type HonestServer } from "./honestServer.js";
import { listOf } from "./lists.js";
import { unmountAfter } from "./mountedCli.js";
import { skipReason } from "./mounting.js";
import { fsckProblems, lostBlocks, problemsAfterStart, wrongBlocks } from "./storeCheck.js";
import { tempFolder } from "./tempFolder.js";
import { until } from "./until.js";

const BLOCK_BYTES = 4096;
const QUOTA_BYTES = 40 * BLOCK_BYTES;
/** Files of a round, and blocks of a file: more than the cache holds. */
const FILE_COUNT = 3;
const FILE_BLOCKS = 30;

/** A process of a round, and what follows from how it ended. */
interface Part {
  readonly doomed: Doomed;
  /** How much it has done, and how much it can be let do. */
  readonly progress: () => number;
  readonly most: number;
  /** Hashes that were said to be kept, once it has ended. */
  readonly said: (status: number | null) => Promise<readonly string[]>;
}

interface Shared {
  readonly dice: Dice;
  readonly seed: string;
  readonly paths: Record<"store" | "lists" | "mountpoint" | "files" | "exported", string>;
  readonly server: HonestServer;
  readonly files: ReadonlyMap<string, Buffer>;
  readonly problems: string[];
}

/**
 * @param mayGoOn told after each round how many were killed in it, and says whether there is another
 * @returns what was wrong; the store is dropped at the first problem
 */
export async function killRounds(
  t: CleanUpContext,
  { seed, rounds }: { readonly seed: number; readonly rounds: number },
  mayGoOn: (killedCount: number) => boolean,
): Promise<string[]> {
  const folder = await tempFolder(t);
  const paths = {
    store: join(folder, "store"),
    lists: join(folder, "lists"),
    mountpoint: join(folder, "mnt"),
    files: join(folder, "files"),
    exported: join(folder, "exported"),
  };
  for (const path of [paths.lists, paths.mountpoint, paths.files, paths.exported]) {
    await mkdir(path);
  }
  unmountAfter(t, paths.mountpoint);
  const server = await startHonestServer([]);
  cleanUp(t, () => server.close());
  const said = new Set<string>();
  const files = new Map<string, Buffer>();
  const problems: string[] = [];
  const aheadBefore = new Set<string>();
  let isOver = false;
  for (let round = 0; round < rounds && problems.length === 0 && !isOver; round += 1) {
    const dice = createDice(`kill ${seed}/${round}`);
    await newFiles({ seed: `${seed}/${round}`, dice, paths, server, files });
    const shared = { dice, seed: `${seed}/${round}`, paths, server, files, problems };
    const parts = startParts(shared);
    for (const { doomed } of parts) {
      cleanUp(t, () => {
        doomed.kill();
      });
    }
    const killed = await Promise.all(
      parts.map((part) => killAtRandom(part.doomed, createDice(`${seed} ${dice.roll(1e9)}`), part)),
    );
    isOver = !mayGoOn(killed.filter(Boolean).length);
    for (const part of parts) {
      const status = await part.doomed.ended;
      if (status !== null && status !== 0) problems.push(`status ${status}`, part.doomed.stderr());
      for (const hash of await part.said(status)) said.add(hash);
    }
    await until("what the killed ones started has ended", () => processesOf(folder).length === 0);
    if (!existsSync(paths.store)) continue;
    problems.push(
      ...wrongBlocks(paths.store, ["blocks", "cache"]),
      ...lostBlocks(paths.store, said),
      ...(await problemsAfterStart(paths.store, {
        quotaBytes: QUOTA_BYTES,
        killedCount: parts.length,
        largestBlockBytes: BLOCK_BYTES,
        aheadBefore,
      })),
    );
  }
  if (existsSync(paths.store)) problems.push(...(await fsckProblems(paths.store)));
  if (await findMount(paths.mountpoint)) {
    await psyncOk(["umount", paths.mountpoint], { store: paths.store });
    if (await findMount(paths.mountpoint)) problems.push("the mount is left");
  }
  await rm(paths.store, { recursive: true, force: true });
  return problems;
}

/** Files that nobody has yet, and their lists, in the place of those of two rounds ago. */
async function newFiles(
  shared: Pick<Shared, "seed" | "dice" | "paths" | "server"> & { files: Map<string, Buffer> },
): Promise<void> {
  const { seed, dice, paths, server, files } = shared;
  while (files.size > FILE_COUNT) {
    const [oldest = ""] = files.keys();
    files.delete(oldest);
    await rm(join(paths.lists, `${oldest}.hashlist`));
  }
  for (let nth = 0; nth < FILE_COUNT; nth += 1) {
    const name = `${seed}-${nth}`.replace("/", "-");
    const lastBytes = 1 + dice.roll(BLOCK_BYTES);
    const bytes = seededBytes(name, (FILE_BLOCKS - 1) * BLOCK_BYTES + lastBytes);
    const { text, blocks } = await listOf(bytes, BLOCK_BYTES);
    await server.store.keep([...blocks.values()]);
    await writeFile(join(paths.files, name), bytes);
    // Lists are replaced by a rename, as docs/operations.md says.
    await writeFile(join(paths.files, "new"), text);
    await rename(join(paths.files, "new"), join(paths.lists, `${name}.hashlist`));
    files.set(name, bytes);
  }
}

function startParts(shared: Shared): Part[] {
  const { dice } = shared;
  const canMount = skipReason() === false;
  const programs = [psyncExport, psyncExportFile, psyncGet, ...(canMount ? [psyncMount] : [])];
  const parts: Part[] = [];
  for (const task of ["export", "get", "read"] as const) {
    if (dice.roll(3) > 0) parts.push(workerPart(shared, task));
  }
  const program = programs[dice.roll(programs.length)];
  if (program && (parts.length === 0 || dice.roll(2) === 0)) parts.push(program(shared));
  return parts;
}

function workerPart(shared: Shared, task: "export" | "get" | "read"): Part {
  const { paths, server, seed } = shared;
  const doomed = startDoomedWorker(task, {
    store: paths.store,
    seed,
    url: server.url,
    lists: paths.lists,
    blockSizeBytes: BLOCK_BYTES,
    quotaBytes: QUOTA_BYTES,
  });
  return {
    doomed,
    progress: () => doomed.lines().length,
    most: { export: 120, get: 2 * FILE_COUNT, read: 150 }[task],
    said: async () => {
      const lines = doomed.lines().map((line) => line.split(" "));
      const kept = lines.filter(([what]) => what === "kept").map(([, hash = ""]) => hash);
      const got = lines.filter(([what]) => what === "got").map(([, name = ""]) => name);
      const lists = got.map((name) => hashesOf(join(paths.lists, name)));
      return [...kept, ...(await Promise.all(lists)).flat()];
    },
  };
}

function psyncExport({ paths, files, dice }: Shared): Part {
  const file = join(paths.files, anyName(files, dice));
  const doomed = startDoomedPsync(["export", file, "--block-size", `${BLOCK_BYTES}`], paths.store);
  const lines = (): readonly string[] => doomed.lines();
  return {
    doomed,
    progress: () => lines().length,
    most: FILE_BLOCKS,
    said: () => Promise.resolve(lines()),
  };
}

function psyncExportFile({ paths, files, dice }: Shared): Part {
  const name = anyName(files, dice);
  const list = join(paths.exported, `${name}.hashlist`);
  const options = ["-o", list, "--block-size", `${BLOCK_BYTES}`];
  const doomed = startDoomedPsync(["export", join(paths.files, name), ...options], paths.store);
  return {
    doomed,
    progress: () => countIn(join(paths.store, "tmp")),
    most: 3,
    said: async () => (existsSync(list) ? hashesOf(list) : []),
  };
}

function psyncGet({ paths, files, dice, server }: Shared): Part {
  const list = join(paths.lists, `${anyName(files, dice)}.hashlist`);
  const doomed = startDoomedPsync(["get", server.url, list, "-q"], paths.store);
  const before = server.store.readCount();
  return {
    doomed,
    progress: () => server.store.readCount() - before,
    most: 2 * FILE_BLOCKS,
    said: async (status) => (status === 0 ? hashesOf(list) : []),
  };
}

function psyncMount(shared: Shared): Part {
  const { paths, server, files, problems } = shared;
  const options = ["--server", server.url, "--cache-size", `${QUOTA_BYTES}`];
  const doomed = startDoomedPsync(
    ["mount", paths.lists, paths.mountpoint, ...options, "-q"],
    paths.store,
  );
  let readCount = 0;
  const readFiles = async (): Promise<void> => {
    await until("it is mounted", () => doomed.hasEnded() || doomed.lines().length > 0);
    for (const [name, bytes] of files) {
      const path = join(paths.mountpoint, name);
      // The mount may end at any moment, and with it the read.
      const read = await readFile(path).catch(() => undefined);
      if (read && !read.equals(bytes)) problems.push(`${path} was read with wrong bytes`);
      if (read) readCount += 1;
    }
  };
  const reading = readFiles();
  const before = server.store.readCount();
  return {
    doomed,
    progress: () => (readCount === files.size ? Infinity : server.store.readCount() - before),
    most: FILE_COUNT * FILE_BLOCKS,
    said: async () => {
      await reading;
      return [];
    },
  };
}

async function hashesOf(listPath: string): Promise<string[]> {
  const { list } = await readHashlist(listPath);
  return Array.from({ length: list.blockCount }, (_, blockIndex) => list.hashAt(blockIndex));
}

function anyName(files: ReadonlyMap<string, Buffer>, dice: Dice): string {
  return [...files.keys()][dice.roll(files.size)] ?? "";
}

function countIn(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).length : 0;
}

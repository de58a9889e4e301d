/** The processes of one round of killedStore.ts: psync's commands, as themselves and as workers. */
import { existsSync, readdirSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readHashlist } from "../../src/hashlist/readHashlist.js";
import type { Dice } from "./blocks.js";
import { startDoomedPsync, startDoomedWorker, type Doomed } from "./doomed.js";
import type { HonestServer } from "./honestServer.js";
import type { LoadTask } from "./loadWorker.js";
import { skipReason } from "./mounting.js";
import { until } from "./until.js";

export const BLOCK_BYTES = 4096;
export const QUOTA_BYTES = 40 * BLOCK_BYTES;
/** Files of a round, and blocks of a file: more than the cache holds. */
export const FILE_COUNT = 3;
export const FILE_BLOCKS = 30;
/** What a store's workers export: so few that they find there what others have kept, and swept. */
const STREAM_COUNT = 3;

const FOLDERS = {
  store: "store",
  /** What `gc --keep` is given: the lists of the files, and those of what was exported. */
  needed: "needed",
  lists: "needed/lists",
  exported: "needed/exported",
  /** Lists that are needed no more. */
  dropped: "dropped",
  files: "files",
  mountpoint: "mnt",
} as const;

export type KillPaths = Readonly<Record<keyof typeof FOLDERS, string>>;

/** Makes the folders, and a store that has its settings and nothing else. */
export async function makeKillPaths(folder: string): Promise<KillPaths> {
  const entries = Object.entries(FOLDERS).map(
    ([name, path]) => [name, join(folder, path)] as const,
  );
  for (const [, path] of entries) await mkdir(path, { recursive: true, mode: 0o700 });
  const paths = Object.fromEntries(entries) as KillPaths;
  const settings = { cacheSize: String(QUOTA_BYTES) };
  await writeFile(join(paths.store, "config.json"), JSON.stringify(settings));
  return paths;
}

/** A process of a round, and what follows from how it ended. */
export interface Part {
  readonly doomed: Doomed;
  /** How much it has done, and how much it can be let do. */
  readonly progress: () => number;
  readonly most: number;
  /** Hashes that were said to be kept, once it has ended. */
  readonly said: (status: number | null) => Promise<readonly string[]>;
}

export interface Round {
  readonly dice: Dice;
  readonly storeSeed: number;
  readonly seed: string;
  readonly paths: KillPaths;
  readonly server: HonestServer;
  readonly files: ReadonlyMap<string, Buffer>;
  /** Some kept blocks that no list names any more. */
  readonly garbage: readonly string[];
  /** One process that sweeps: a second one would wait for it, and give up. */
  readonly sweeper: "gc" | "unpin" | "psync gc" | "psync unpin" | undefined;
  readonly problems: string[];
}

const NOTHING_SAID: Part["said"] = () => Promise.resolve([]);

export function startParts(round: Round): Part[] {
  const { dice, sweeper } = round;
  const canMount = skipReason() === false;
  const programs = [psyncExportFile, psyncGet, psyncPin, ...(canMount ? [psyncMount] : [])];
  // Its lines are in no list, so that a sweep may take their blocks as soon as it was killed.
  if (sweeper === undefined) programs.push(psyncExport);
  const parts: Part[] = [];
  if (sweeper === "gc" || sweeper === "unpin") parts.push(workerPart(round, sweeper));
  if (sweeper === "psync gc" || sweeper === "psync unpin") parts.push(psyncSweep(round, sweeper));
  for (const task of ["export", "get", "read"] as const) {
    if (dice.roll(3) > 0) parts.push(workerPart(round, task));
  }
  const program = programs[dice.roll(programs.length)];
  if (program && (parts.length === 0 || dice.roll(2) === 0)) parts.push(program(round));
  return parts;
}

const MOST_LINES: Readonly<Record<LoadTask, number>> = {
  export: 120,
  get: 2 * FILE_COUNT,
  read: 150,
  gc: 60,
  unpin: 60,
};

function workerPart({ paths, server, dice, seed, storeSeed }: Round, task: LoadTask): Part {
  const doomed = startDoomedWorker(task, {
    ...paths,
    seed: task === "export" ? `${storeSeed}, ${dice.roll(STREAM_COUNT)}` : seed,
    // Not the name of a file's list: both may come to lie in one folder.
    listName: `stream-${seed.replace("/", "-")}`,
    url: server.url,
    blockSizeBytes: BLOCK_BYTES,
    quotaBytes: QUOTA_BYTES,
  });
  return {
    doomed,
    progress: () => doomed.lines().length,
    most: MOST_LINES[task],
    said: async () => {
      const lines = doomed.lines().map((line) => line.split(" "));
      const kept = lines.filter(([what]) => what === "kept").map(([, hash = ""]) => hash);
      const got = lines.filter(([what]) => what === "got").map(([, name = ""]) => name);
      const lists = got.map((name) => hashesOf(join(paths.lists, name)));
      return [...kept, ...(await Promise.all(lists)).flat()];
    },
  };
}

function psyncExport({ paths, files, dice }: Round): Part {
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

function psyncExportFile({ paths, files, dice }: Round): Part {
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

function psyncGet({ paths, files, dice, server }: Round): Part {
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

function psyncPin({ paths, files, dice, server }: Round): Part {
  const list = join(paths.lists, `${anyName(files, dice)}.hashlist`);
  const options = ["--server", server.url, "-q"];
  const doomed = startDoomedPsync(["pin", list, ...options], paths.store);
  const before = server.store.readCount();
  return {
    doomed,
    // What is in the cache is not asked for: then it ends by itself.
    progress: () => server.store.readCount() - before,
    most: FILE_BLOCKS,
    said: async (status) => (status === 0 ? hashesOf(list) : []),
  };
}

function psyncSweep({ paths, garbage }: Round, what: "psync gc" | "psync unpin"): Part {
  const args = what === "psync gc" ? ["gc", "--yes"] : ["unpin", paths.dropped];
  const doomed = startDoomedPsync([...args, "--keep", paths.needed, "-q"], paths.store);
  const isGone = (hash: string): boolean => !existsSync(join(paths.store, "blocks", hash));
  return {
    doomed,
    progress: () => garbage.filter(isGone).length,
    most: garbage.length + 1,
    said: NOTHING_SAID,
  };
}

function psyncMount(round: Round): Part {
  const { paths, server, files, problems } = round;
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

export async function hashesOf(listPath: string): Promise<string[]> {
  const { list } = await readHashlist(listPath);
  return Array.from({ length: list.blockCount }, (_, blockIndex) => list.hashAt(blockIndex));
}

function anyName(files: ReadonlyMap<string, Buffer>, dice: Dice): string {
  return [...files.keys()][dice.roll(files.size)] ?? "";
}

function countIn(folder: string): number {
  return existsSync(folder) ? readdirSync(folder).length : 0;
}

/**
 * What lies in a store's folders, judged by the bytes alone: this looks at files and rows, and trusts nothing that
 * the store says of itself. Used between crashes, when no process has the store open.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { checkLocalStore } from "../../src/compose.js";
import { systemClock } from "../../src/core/clock.js";
import { LIMITS } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { diskBytes } from "../../src/store/evictionPolicy.js";
import { openIndexFile } from "../../src/store/indexFile.js";
import { openStore, type Store } from "../../src/store/openStore.js";
import { psync, psyncOk } from "./cli.js";
import { createLineLog } from "./storeFixtures.js";
import { until } from "./until.js";

/** Files of blocks/ or cache/ whose bytes are not what their name says. */
export function wrongBlocks(store: string, folders: readonly string[]): string[] {
  return folders.flatMap((folder) =>
    namesIn(join(store, folder))
      .filter((name) => sha256Of(readFileSync(join(store, folder, name))) !== name)
      .map((name) => `${folder}/${name} has other bytes than its name says`),
  );
}

/** Blocks that were said to be kept and are not there; what is there is right where `wrongBlocks` finds nothing. */
export function lostBlocks(store: string, said: Iterable<string>): string[] {
  return [...said]
    .filter((hash) => !existsSync(join(store, "blocks", hash)))
    .map((hash) => `${hash} was said to be kept, and is gone`);
}

/** What `du` says of cache/. Other than `diskUsage` it is for a store that nobody writes to. */
export function cacheUsageBytes(store: string): number {
  const cache = join(store, "cache");
  return namesIn(cache).reduce((sum, name) => sum + statSync(join(cache, name)).blocks * 512, 0);
}

export interface StartOptions {
  readonly quotaBytes: number;
  /** Processes that were killed while each had LIMITS.store.cacheWritesAtOnce blocks in flight and one round of eviction, at most. */
  readonly killedCount: number;
  readonly largestBlockBytes: number;
  /** Rows that had no file at the last look; those of this one are put in their place. */
  readonly aheadBefore?: Set<string>;
}

/**
 * Starts once on a store that a kill has left, and looks at what the start has made of it.
 *
 * @returns what is wrong: what a check finds, temp files, set-aside files, warnings, blocks that the index does not count,
 *   a sum that is more than what was in flight away from `du`
 */
export async function problemsAfterStart(store: string, options: StartOptions): Promise<string[]> {
  const { quotaBytes, killedCount, largestBlockBytes, aheadBefore = new Set() } = options;
  const log = createLineLog();
  const opened = await openStore({
    path: store,
    clock: systemClock,
    log,
    cacheQuotaBytes: quotaBytes,
  });
  // A scan runs behind the start where one is needed, and ends with the store.
  await until("the index has counted what is cached", () => isScanned(store));
  const problems = await checkProblems(opened);
  await opened.close();
  problems.push(...log.lines.filter((line) => /^(warn|error)/.test(line)));
  for (const folder of ["tmp", "quarantine"]) {
    problems.push(...namesIn(join(store, folder)).map((name) => `${folder}/${name} is left over`));
  }
  const { sumBytes, rows } = readIndex(store);
  const addedBytes = [...rows.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  if (sumBytes !== addedBytes) problems.push(`the index says ${sumBytes}, not ${addedBytes} bytes`);
  const usedBytes = cacheUsageBytes(store);
  if (usedBytes > quotaBytes) problems.push(`${usedBytes} bytes in cache/, of ${quotaBytes}`);
  problems.push(...uncountedBlocks(store, rows));
  for (const name of namesIn(join(store, "cache"))) rows.delete(name);
  // Rows without a file: what was to be written, what was being evicted, and what went to blocks/ within the flush.
  const kept = new Set(namesIn(join(store, "blocks")));
  let aheadBytes = 0;
  for (const [hash, sizeBytes] of rows) {
    if (!kept.has(hash) && !aheadBefore.has(hash)) aheadBytes += sizeBytes;
  }
  const evictBytes = quotaBytes * (1 - LIMITS.store.evictToFraction);
  const ofOneBytes = evictBytes + LIMITS.store.cacheWritesAtOnce * largestBlockBytes;
  if (aheadBytes > Math.ceil(Math.max(1, killedCount) * ofOneBytes)) {
    problems.push(`the index counts ${aheadBytes} bytes that are not there; sum ${sumBytes}`);
  }
  aheadBefore.clear();
  for (const hash of rows.keys()) aheadBefore.add(hash);
  return problems;
}

/** What `psync fsck` would have against a store, without a process of its own. */
async function checkProblems(store: Store): Promise<string[]> {
  const { signal } = new AbortController();
  const report = await checkLocalStore(
    { store, source: undefined, log: silentLogger },
    { repair: false, jobs: LIMITS.check.jobs, restart: true, signal },
  );
  return [
    ...report.problems.map(({ place, hash, why }) => `fsck: ${place} ${hash} ${why}`),
    ...report.strangeNames.map((name) => `fsck: ${name} is no block's name`),
  ];
}

/** Files of cache/ that the index does not count as they are: nobody will ever evict them. */
export function uncountedBlocks(
  store: string,
  rows: ReadonlyMap<string, number> = readIndex(store).rows,
): string[] {
  const cache = join(store, "cache");
  return namesIn(cache)
    .filter((name) => rows.get(name) !== diskBytes(statSync(join(cache, name)).size))
    .map((name) => `cache/${name} is not counted as it is`);
}

/** Whether the index knows all that lies in cache/: whoever opened it first has looked. */
export function isScanned(store: string): boolean {
  if (!existsSync(join(store, "index.db"))) return false;
  const file = openIndexFile(join(store, "index.db"), LIMITS.store.indexBusySliceMs);
  try {
    return file.scannedBoot() !== "";
  } finally {
    file.close();
  }
}

function readIndex(store: string): { sumBytes: number; rows: Map<string, number> } {
  const file = openIndexFile(join(store, "index.db"), LIMITS.store.indexBusySliceMs);
  try {
    const rows = new Map<string, number>();
    for (const { hash, sizeBytes } of file.leastRecentFirst()) rows.set(hash, sizeBytes);
    return { sumBytes: file.cachedBytes(), rows };
  } finally {
    file.close();
  }
}

let fsckIsThere: Promise<boolean> | undefined;

/** What `psync fsck` has against a store; nothing where this psync has no such command. */
export async function fsckProblems(store: string): Promise<string[]> {
  fsckIsThere ??= psyncOk(["--help"], { store }).then((text) => /^ {2}psync fsck/m.test(text));
  if (!(await fsckIsThere)) return [];
  const { status, stdout, stderr } = await psync(["fsck"], { store });
  return status === 0 ? [] : [`psync fsck: status ${status}\n${stdout.toString()}${stderr}`];
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

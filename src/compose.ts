/** The only place that builds the pieces and joins them. Each command takes from here what it needs. */
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import type { BlockHash } from "./block/hash.js";
import type { BlockSource, BlockStore, ServerMemory, SizeMemory } from "./block/ports.js";
import { blockOf } from "./block/verify.js";
import type { FreeSpace } from "./core/bytes.js";
import { systemClock } from "./core/clock.js";
import { errorMessage, PsyncError } from "./core/errors.js";
import { LIMITS } from "./core/limits.js";
import type { Logger } from "./core/log.js";
import { createRateLimiter } from "./core/rateLimiter.js";
import { readHashlist } from "./hashlist/readHashlist.js";
import { createHttpServer } from "./fetch/httpServer.js";
import { createServerSet, type ServerSet } from "./fetch/serverSet.js";
import { parseServer, type ServerSettings } from "./fetch/serverSettings.js";
import { assertFuseNativeLoads, createFuseNativeDriver } from "./mount/driver/fuseNative.js";
import type { Driver, FileSystem } from "./mount/driver/port.js";
import { createFileSystem } from "./mount/fileSystem.js";
import { createFolderTree, createSingleListTree, type Tree } from "./mount/tree.js";
import type { PullThrough } from "./server/blockServer.js";
import { createPseudonym } from "./server/via.js";
import { awaitSeeds } from "./source/awaitSeeds.js";
import { withMemoryCache } from "./source/memoryCache.js";
import { withSingleFlight } from "./source/singleFlight.js";
import { watchReaders } from "./source/watchReaders.js";
import { createStoreThenFetch, type StoreThenFetch } from "./source/storeThenFetch.js";
import { fsck, type FsckOptions, type FsckParts, type FsckReport } from "./store/fsck.js";
import { createFsckFile } from "./store/fsckFile.js";
import { startScrub, type Scrub, type ScrubParts } from "./store/scrub.js";
import type { Readers } from "./store/scrubPlan.js";
import { storeLayout } from "./store/layout.js";
import { loadSqlite } from "./store/indexFile.js";
import { openStore, type Store } from "./store/openStore.js";
import { openToRead } from "./store/openToRead.js";
import { hasStoreName } from "./store/storeFolders.js";
import type { StoreSeeds } from "./store/storeSeeds.js";

export type { FsckReport, Problem } from "./store/fsck.js";
export type { LostSeed } from "./store/lostSeeds.js";
export type { StoreSeeds } from "./store/storeSeeds.js";
export type { Upkeep } from "./store/upkeep.js";

export interface StoreParts {
  readonly storePath: string;
  /** What the cache may take of the disk; undefined: LIMITS.store.cacheQuotaBytes. */
  readonly cacheQuotaBytes?: number | undefined;
  /** What the cache leaves free of the disk; undefined: LIMITS.store.minFreeFraction of it. */
  readonly minFree?: FreeSpace | undefined;
  readonly log: Logger;
}

/**
 * Opens the local store.
 *
 * @param access `write` must write; `cache` and `read` go on with a store that cannot be written, and `read`
 *   makes none where there is none. `judge` is `read`, and leaves bad blocks where they lie. `change` must write too, and `look` changes nothing: both only to a store that is
 *   there, since of an empty one they would say that all is well
 * @throws ERR_PSYNC_STORE it is not to be used
 */
export async function openLocalStore(
  { storePath, log, ...limits }: StoreParts,
  access: "write" | "change" | "cache" | "read" | "judge" | "look",
): Promise<Store> {
  const options = { path: storePath, clock: systemClock, log, ...limits };
  if (access === "cache" || access === "read") return openToRead({ ...options, wish: access });
  if (access === "judge") return openToRead({ ...options, wish: "read", leavesBad: true });
  if (access !== "write" && !(await hasStoreName(storePath))) {
    throw new PsyncError("ERR_PSYNC_STORE", `there is no store at ${storePath}`, {
      hint: "mount the disk that it lies on, or name another one with --store or PSYNC_STORE",
    });
  }
  return openStore({ ...options, readOnly: access === "look" });
}

/**
 * Servers as a source that asks the network for every block.
 *
 * @param parts.servers addresses as they were written, or what they were read as with their settings
 * @param parts.limitBytesPerSecond how fast blocks may come from all of them together, above 0; undefined: no limit
 * @param parts.records where what is known of servers comes from and goes to; undefined: nothing is kept
 * @param parts.explain told of each fetch what each server did; unless given, the log has it where one was not enough
 * @throws ERR_PSYNC_USAGE an address has no meaning
 */
export function createServers(parts: {
  readonly servers: readonly (string | ServerSettings)[];
  readonly log: Logger;
  readonly patienceMs?: number;
  readonly limitBytesPerSecond?: number | undefined;
  readonly records?: ServerMemory | undefined;
  readonly explain?: ((hash: BlockHash, lines: readonly string[]) => void) | undefined;
}): ServerSet {
  const { servers, log, patienceMs = LIMITS.fetch.patienceMs, limitBytesPerSecond } = parts;
  const clock = systemClock;
  const rateLimiter =
    limitBytesPerSecond === undefined
      ? undefined
      : createRateLimiter({ bytesPerSecond: limitBytesPerSecond, clock });
  const asked = servers.map((server) =>
    typeof server === "string" ? parseServer(server) : server,
  );
  const explain = (hash: BlockHash, lines: readonly string[]): void => {
    if (lines.length > 1) log.debug(`block ${hash}: ${lines.join("; ")}`);
  };
  return createServerSet({
    servers: asked.map((server) => createHttpServer(server, { clock, limits: LIMITS.fetch })),
    clock,
    rateLimiter,
    records: parts.records,
    log,
    patienceMs,
    explain: parts.explain ?? explain,
  });
}

/** How messages and records name a server: its address without credentials. @throws ERR_PSYNC_USAGE */
export function serverName(address: string): string {
  return parseServer(address).url.display;
}

/**
 * Checks a store's blocks, and repairs them where it is asked to; see `fsck`. Where a run was interrupted stands in the store.
 */
export function checkLocalStore(
  parts: Pick<FsckParts, "store" | "source" | "log">,
  options: FsckOptions,
): Promise<FsckReport> {
  const { path } = parts.store;
  const progressFile = createFsckFile(storeLayout(path), { nowUnixMs: Date.now });
  return fsck({ ...parts, clock: systemClock, progressFile }, options);
}

/** Checks a store's blocks for as long as it is open, while nobody reads through the path; see `startScrub`. */
export function scrubLocalStore(
  parts: Pick<ScrubParts, "store" | "source" | "readers" | "log">,
): Scrub {
  return startScrub({ ...parts, clock: systemClock, nowUnixMs: Date.now });
}

/** Servers, or what stands in their place. */
interface ClosableSource extends BlockSource {
  close(): Promise<void>;
}

/** Stands where servers would be, for who must not ask any. */
export function createOfflineSource(): ClosableSource {
  return {
    fetch: ({ hash }) =>
      Promise.reject(
        new PsyncError(
          "ERR_PSYNC_BLOCK_UNAVAILABLE",
          `block ${hash} is not in the store, and --offline asks no server`,
          { hint: "`psync check --offline LIST` says what else is missing" },
        ),
      ),
    close: () => Promise.resolve(),
  };
}

export interface ReadPath {
  readonly source: BlockSource;
  readonly sizes: SizeMemory;
  /** Whether anybody waits for the source. */
  readonly readers: Readers;
  /** Ends what is under way, and waits for what is being written to the store. */
  close(): Promise<void>;
}

/**
 * Memory, one flight a block, store, servers: what every reader of a mount goes through.
 *
 * @param parts.seeds told of the block sizes that are asked for
 * @param parts.awaitsSeeds whether reads wait for seeds that are still being hashed: where no server is asked
 */
export function createReadPath(parts: {
  readonly store: BlockStore;
  readonly sizes: SizeMemory;
  readonly servers: ClosableSource;
  readonly seeds?: Pick<StoreSeeds, "lookFor" | "isHashing"> | undefined;
  readonly awaitsSeeds?: boolean;
  readonly log: Logger;
}): ReadPath {
  const { store, sizes, servers, seeds, awaitsSeeds = false, log } = parts;
  const stored = createStoreThenFetch({
    store,
    fetcher: servers,
    clock: systemClock,
    log,
    blocksInFlight: LIMITS.read.blocksInFlight,
    inFlightBytes: LIMITS.memory.inFlightBytes,
    storeReadBytes: LIMITS.memory.storeReadBytes,
    keptForWaiting: {
      blocksInFlight: LIMITS.read.blocksKeptForWaiting,
      inFlightBytes: LIMITS.memory.inFlightKeptForWaitingBytes,
      storeReadBytes: LIMITS.memory.storeReadKeptForWaitingBytes,
    },
  });
  const isHashing = (): boolean => seeds?.isHashing() === true;
  const awaited = awaitsSeeds
    ? awaitSeeds(stored, { store, isHashing, clock: systemClock, log })
    : stored;
  const failureMemoryMs = LIMITS.read.failedBlockMemoryMs;
  const noted: BlockSource = {
    fetch(request) {
      // Who reads a list asks for blocks of its block size.
      seeds?.lookFor(request.maxBytes);
      return awaited.fetch(request);
    },
  };
  const shared = withSingleFlight(noted, { clock: systemClock, failureMemoryMs });
  const cached = withMemoryCache(shared, { maxBytes: LIMITS.memory.cachedBlocksBytes });
  const source = watchReaders(cached, systemClock);
  return {
    source,
    sizes,
    readers: source,
    close: () => closeSource(servers, stored),
  };
}

async function closeSource(servers: ClosableSource, stored: StoreThenFetch): Promise<void> {
  await servers.close();
  await stored.settled();
}

/** Memory, store, servers: what a server of blocks fetches with. One flight a block is its own care. */
export function createPullThrough(parts: {
  readonly store: BlockStore;
  readonly servers: ServerSet;
  readonly log: Logger;
}): PullThrough & { close(): Promise<void> } {
  const { store, servers, log } = parts;
  const { maxPulls, pullBytes, pulledBlocksBytes } = LIMITS.server;
  const stored = createStoreThenFetch({
    store,
    fetcher: servers,
    clock: systemClock,
    log,
    blocksInFlight: maxPulls,
    inFlightBytes: pullBytes,
    storeReadBytes: pullBytes,
  });
  return {
    source: withMemoryCache(stored, { maxBytes: pulledBlocksBytes }),
    pseudonym: createPseudonym(randomBytes),
    close: () => closeSource(servers, stored),
  };
}

/**
 * The file system of a folder of lists, or of one list.
 *
 * @param parts.listsPath absolute, without symlinks
 * @throws ERR_PSYNC_FAILED it is not there or cannot be read; ERR_PSYNC_BAD_HASHLIST it is one file and no list
 */
export async function createListsFileSystem(parts: {
  readonly listsPath: string;
  readonly readPath: ReadPath;
  readonly log: Logger;
}): Promise<FileSystem> {
  const { listsPath, readPath, log } = parts;
  const { source, sizes } = readPath;
  const tree = await treeOf(listsPath, log);
  return createFileSystem({ tree, source, sizes, clock: systemClock, log });
}

/** The driver of mounts. Nothing is loaded until it mounts. */
export function createMountDriver(log: Logger): Driver {
  return createFuseNativeDriver({ clock: systemClock, log });
}

async function treeOf(listsPath: string, log: Logger): Promise<Tree> {
  const stats = await stat(listsPath).catch((error: unknown) => {
    const problem = `cannot read ${listsPath}: ${errorMessage(error)}`;
    throw new PsyncError("ERR_PSYNC_FAILED", problem, { cause: error });
  });
  if (stats.isDirectory()) return createFolderTree({ root: listsPath, log });
  // One list that is none is a mistake to tell at once; in a folder it hurts only itself.
  await readHashlist(listsPath);
  return createSingleListTree(listsPath);
}

/**
 * Asks a server for a block that is always the same, the empty one: any answer but a failure will do.
 *
 * @returns the server's name without credentials, and what is wrong with it, if something is
 */
export async function probeServer(
  settings: ServerSettings,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly name: string; readonly problem?: string }> {
  const server = createHttpServer(settings, { clock: systemClock, limits: LIMITS.fetch });
  try {
    const { hash } = blockOf(new Uint8Array(0));
    const outcome = await server.fetchBytes({ hash, maxBytes: 1, signal });
    return outcome.type === "failed"
      ? { name: server.name, problem: outcome.reason }
      : { name: server.name };
  } finally {
    await server.close();
  }
}

/** The parts with native code, each as what loads it or throws. */
export const nativeParts = { loadSqlite, loadFuseNative: assertFuseNativeLoads };

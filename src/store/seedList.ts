/**
 * The list of the store's seeds: `<store>/seeds`, the files whose blocks `export --no-copy` left where they are. A
 * plain file, so that the index stays disposable; what is in it for good stands in no other place.
 *
 * A line is a JSON object; of several for one file and block size the last one counts. Lines are added by one
 * write(2) at the end (O_APPEND), each preceded by an empty line: what a crash tore off ends there, and is passed over.
 * Once most lines say nothing any more, the list is written anew and renamed into place. Whoever adds or writes anew
 * holds claims/batch.lock, so that no line goes into a file that is just being replaced. Lines can be removed with any
 * editor while no export runs.
 */
import { constants } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { StringDecoder } from "node:string_decoder";
import { syncFolder, writeAtomically } from "../core/atomicFile.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { SeedFile } from "../block/ports.js";
import { lockBatch, openBatchLock } from "./claims.js";
import { FILE_MODE, type StoreLayout } from "./layout.js";
import { isAbsent, orStoreError, storeError } from "./storeError.js";

const READ_BYTES = 64 * 1024;

/** What changes with the list; "" where there is none. @throws ERR_PSYNC_STORE it cannot be looked at */
export async function seedListStamp({ seeds }: StoreLayout): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await lstat(seeds, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch (error) {
    if (isAbsent(error)) return "";
    throw storeError("look at", seeds, error);
  }
}

/**
 * The files of the list, as they stand in it. Lines that say nothing are passed over.
 *
 * @throws ERR_PSYNC_STORE it cannot be read
 */
export async function* readSeedList({ seeds }: StoreLayout): AsyncGenerator<SeedFile> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(seeds, flags).catch((error: unknown) => {
    if (isAbsent(error)) return undefined;
    throw storeError("read", seeds, error);
  });
  if (!file) return;
  try {
    const decoder = new StringDecoder("utf8");
    const buffer = Buffer.alloc(READ_BYTES);
    let rest = "";
    for (;;) {
      const { bytesRead } = await orStoreError("read", seeds, () => file.read(buffer));
      rest += bytesRead === 0 ? "\n" : decoder.write(buffer.subarray(0, bytesRead));
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const seed = parseLine(line);
        if (seed) yield seed;
      }
      if (bytesRead === 0) return;
    }
  } finally {
    await file.close();
  }
}

export interface SeedList {
  /** Adds a file that is not in the list as it is; durable when it returns. @throws ERR_PSYNC_STORE */
  add(file: SeedFile): Promise<void>;
}

export interface SeedListOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Cost: the list is read once, at the first file that is added, and held: its own length in memory. */
export function createSeedList({ layout, clock, log }: SeedListOptions): SeedList {
  const { seeds } = layout;
  let lineCount = 0;
  let known: Map<string, string> | undefined;
  let syncedInode: bigint | undefined;
  let lostSync: Error | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const locked = async (work: () => Promise<void>): Promise<void> => {
    const lock = openBatchLock(layout);
    try {
      await lockBatch(lock, clock);
      await work();
    } finally {
      lock.close();
    }
  };

  const append = async (line: string | undefined): Promise<void> => {
    const flags =
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
    const file = await open(seeds, flags, FILE_MODE);
    try {
      if (line !== undefined) {
        const bytes = Buffer.from(`\n${line}\n`);
        const { bytesWritten } = await file.write(bytes);
        // The rest would not stand beside it if another process had added something in between.
        if (bytesWritten < bytes.length) throw new Error("the disk took only a part of a line");
        lineCount += 1;
      }
      try {
        // Also where nothing is added: whoever wrote the line need not have synced it yet.
        await file.datasync();
        const { ino } = await file.stat({ bigint: true });
        if (ino !== syncedInode) await syncFolder(layout.path);
        syncedInode = ino;
      } catch (error) {
        // A second sync would succeed for nothing (fsync(2), "Errors").
        lostSync = error instanceof Error ? error : new Error(errorMessage(error));
        throw error;
      }
    } finally {
      await file.close();
    }
  };

  const load = async (): Promise<Map<string, string>> => {
    const lines = new Map<string, string>();
    lineCount = 0;
    for await (const file of readSeedList(layout)) {
      lines.set(keyOf(file), formatLine(file));
      lineCount += 1;
    }
    return lines;
  };

  /** What a crash leaves is one list or the other, whole. */
  const writeAnew = async (): Promise<void> => {
    const lines = await load();
    await writeAtomically(seeds, { mode: FILE_MODE }, async (file) => {
      await file.writeFile([...lines.values()].map((line) => `${line}\n`).join(""));
    });
    known = lines;
    lineCount = lines.size;
  };

  const add = async (file: SeedFile): Promise<void> => {
    if (lostSync) {
      const problem = `nothing more is added to ${seeds} by this process: ${lostSync.message}`;
      throw new PsyncError("ERR_PSYNC_STORE", problem, {
        hint: "look at dmesg and at the disk, then start psync again",
      });
    }
    const lines = (known ??= await load());
    const line = formatLine(file);
    const isThere = lines.get(keyOf(file)) === line && (await seedListStamp(layout)) !== "";
    await orStoreError("add to", seeds, () => locked(() => append(isThere ? undefined : line)));
    lines.set(keyOf(file), line);
    if (lineCount <= 2 * lines.size + LIMITS.seeds.maxStaleLines) return;
    await locked(writeAnew).catch((error: unknown) => {
      log.debug(`${seeds} stays as long as it is: ${errorMessage(error)}`);
    });
  };

  return {
    add(file) {
      const added = turn.then(() => add(file));
      turn = added.catch(() => undefined);
      return added;
    },
  };
}

/** Two lines with one key are of one seed. */
export function keyOf({ path, blockSizeBytes }: SeedFile): string {
  return `${blockSizeBytes} ${path}`;
}

function formatLine({ path, sizeBytes, mtimeNs, blockSizeBytes }: SeedFile): string {
  return JSON.stringify({ path, sizeBytes, mtimeNs: String(mtimeNs), blockSizeBytes });
}

function parseLine(line: string): SeedFile | undefined {
  if (line.trim() === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { path, sizeBytes, mtimeNs, blockSizeBytes } = value as Record<string, unknown>;
  if (typeof path !== "string" || !isAbsolute(path) || path.includes("\0")) return undefined;
  if (typeof mtimeNs !== "string" || !/^-?\d{1,20}$/.test(mtimeNs)) return undefined;
  if (!isCount(sizeBytes, Number.MAX_SAFE_INTEGER)) return undefined;
  if (!isCount(blockSizeBytes, LIMITS.block.maxSizeBytes) || blockSizeBytes === 0) return undefined;
  return { path, sizeBytes, mtimeNs: BigInt(mtimeNs), blockSizeBytes };
}

function isCount(value: unknown, most: number): value is number {
  return Number.isSafeInteger(value) && typeof value === "number" && value >= 0 && value <= most;
}

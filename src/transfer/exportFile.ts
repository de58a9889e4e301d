/** One file → its hashlist file, or its lines. */
import { open, realpath, type FileHandle } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import type { BlockStore } from "../block/ports.js";
import { writeAtomically } from "../core/atomicFile.js";
import { errorMessage, isPsyncError, PsyncError, systemErrorCode } from "../core/errors.js";
import { formatHashLine, formatTrailer, HASHLIST_SUFFIX } from "../hashlist/format.js";
import { fileStamp } from "../hashlist/readHashlist.js";
import { beginSeed, nameBlocks, type InPlace } from "./exportInPlace.js";
import { exportStream, type ExportedBlock } from "./exportStream.js";

export interface ExportOptions {
  readonly store: BlockStore;
  readonly blockSizeBytes: number;
  readonly signal: AbortSignal;
  readonly onBytes?: (sizeBytes: number) => void;
  /** Blocks of files stay where they are; otherwise they are copied into the store. */
  readonly inPlace?: InPlace | undefined;
}

export interface ExportTotals {
  readonly sizeBytes: number;
  readonly blockCount: number;
}

/** What writes a list's text; resolves when it was taken. */
export type WriteText = (text: string) => Promise<void>;

/** Bytes from anywhere → the lines of their list, and the trailer where it is wanted. */
export async function exportLines(
  chunks: AsyncIterable<Uint8Array>,
  options: ExportOptions & { readonly trailer: boolean },
  write: WriteText,
): Promise<ExportTotals> {
  return writeLines(exportStream(chunks, options), options, write);
}

async function writeLines(
  blocks: AsyncIterable<ExportedBlock>,
  options: ExportOptions & { readonly trailer: boolean },
  write: WriteText,
): Promise<ExportTotals> {
  let sizeBytes = 0;
  let blockCount = 0;
  for await (const block of blocks) {
    await write(formatHashLine(block.hash));
    sizeBytes += block.sizeBytes;
    blockCount += 1;
    options.onBytes?.(block.sizeBytes);
  }
  const { blockSizeBytes } = options;
  if (options.trailer) await write(formatTrailer({ sizeBytes, blockSizeBytes }));
  return { sizeBytes, blockCount };
}

/**
 * A file's lines, read in one piece.
 *
 * @throws ERR_PSYNC_FILE_CHANGED somebody wrote to the file meanwhile: the list would be of no version of it
 * @throws ERR_PSYNC_FAILED it cannot be read
 */
export async function exportFileLines(
  path: string,
  options: ExportOptions & { readonly trailer: boolean },
  write: WriteText,
): Promise<ExportTotals> {
  return withOpenFile(path, async (file, stats) => {
    if (!options.inPlace) return exportOpenFile({ path, file, stats }, options, write);
    // A seed is one only when all of it was read; no line is given before. 65 bytes a block.
    const held: string[] = [];
    const hold: WriteText = (text) => {
      held.push(text);
      return Promise.resolve();
    };
    const totals = await exportOpenFile({ path, file, stats }, options, hold);
    for (const text of held) await write(text);
    return totals;
  });
}

/**
 * A file's list, written into a file of its own with the trailer, the file's mtime and its exec bit.
 *
 * @throws as `exportFileLines`; ERR_PSYNC_FAILED the list cannot be written
 */
export async function exportToListFile(
  path: string,
  listPath: string,
  options: ExportOptions,
): Promise<ExportTotals> {
  await refuseOverwrite(path, listPath);
  return withOpenFile(path, async (file, stats) => {
    const mode = 0o666 | (Number(stats.mode) & 0o111);
    const times = { atime: stats.atime, mtime: stats.mtime };
    let totals: ExportTotals | undefined;
    try {
      await writeAtomically(listPath, { mode, times }, async (list) => {
        const write: WriteText = (text) => list.appendFile(text);
        totals = await exportOpenFile({ path, file, stats }, { ...options, trailer: true }, write);
      });
    } catch (error) {
      throw asFailure(`cannot write the list ${listPath}`, error);
    }
    return totals ?? { sizeBytes: 0, blockCount: 0 };
  });
}

interface OpenedFile {
  readonly path: string;
  readonly file: FileHandle;
  readonly stats: BigIntStats;
}

/** When it returns, what the lines name is durable. */
async function exportOpenFile(
  { path, file, stats }: OpenedFile,
  options: ExportOptions & { readonly trailer: boolean },
  write: WriteText,
): Promise<ExportTotals> {
  const { blockSizeBytes, inPlace } = options;
  const seed = inPlace && (await beginSeed(path, stats, { ...inPlace, blockSizeBytes }));
  const highWaterMark = Math.min(Math.max(blockSizeBytes, 64 * 1024), 4 * 1024 * 1024);
  const chunks = file.createReadStream({ autoClose: false, highWaterMark });
  const bytes = chunks as AsyncIterable<Uint8Array>;
  const blocks = seed ? nameBlocks(bytes, seed, options) : exportStream(bytes, options);
  const totals = await writeLines(blocks, options, write);
  const after = await file.stat({ bigint: true });
  // Only a file has a size and times that tell; a pipe or a device is what came out of it.
  const isChanged =
    BigInt(totals.sizeBytes) !== stats.size || fileStamp(after) !== fileStamp(stats);
  if (stats.isFile() && isChanged) {
    throw new PsyncError("ERR_PSYNC_FILE_CHANGED", `${path} changed while it was read`, {
      hint: "export it again when nothing writes to it",
    });
  }
  await seed?.keep();
  return totals;
}

async function withOpenFile<T>(
  path: string,
  work: (file: FileHandle, stats: BigIntStats) => Promise<T>,
): Promise<T> {
  try {
    const file = await open(path, "r");
    try {
      const stats = await file.stat({ bigint: true });
      return await work(file, stats);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw asFailure(`cannot export ${path}`, error);
  }
}

/** An existing file is only replaced where it is clearly a list, and never the file that is exported. */
export async function refuseOverwrite(path: string, listPath: string): Promise<void> {
  const existing = await realpath(listPath).catch(() => undefined);
  if (existing === undefined) return;
  if (existing === (await realpath(path).catch(() => path))) {
    throw new PsyncError("ERR_PSYNC_USAGE", `${listPath} is the file that is to be exported`);
  }
  if (!listPath.endsWith(HASHLIST_SUFFIX)) {
    throw new PsyncError(
      "ERR_PSYNC_USAGE",
      `${listPath} is there already and is not named like a list`,
      {
        hint: `give the list a name that ends in ${HASHLIST_SUFFIX}`,
      },
    );
  }
}

export function asFailure(what: string, error: unknown): Error {
  if (isPsyncError(error)) return error;
  // The reader of stdout has gone: that is no fault of the file.
  if (error instanceof Error && systemErrorCode(error) === "EPIPE") return error;
  return new PsyncError("ERR_PSYNC_FAILED", `${what}: ${errorMessage(error)}`, { cause: error });
}

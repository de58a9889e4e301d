/** A hashlist from a file: read whole and in one piece, also while somebody replaces it. */
import { open } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import { errorMessage, PsyncError, systemErrorCode } from "../core/errors.js";
import type { Hashlist } from "./hashlist.js";
import { parseHashlist } from "./parse.js";

const READ_BYTES = 256 * 1024;
const ATTEMPTS = 3;

export interface ReadList {
  readonly list: Hashlist;
  /** The file's stat, the same before and after it was read. */
  readonly stats: BigIntStats;
}

/**
 * Reads a hashlist file.
 *
 * @throws ERR_PSYNC_BAD_HASHLIST with path, line and column
 * @throws ERR_PSYNC_NO_ENTRY the file is not there
 * @throws ERR_PSYNC_FAILED it cannot be read
 * @throws ERR_PSYNC_FILE_CHANGED it kept changing while it was read
 */
export async function readHashlist(path: string): Promise<ReadList> {
  let badList: unknown;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const file = await open(path, "r").catch((error: unknown) => fail(path, error));
    try {
      const before = await file.stat({ bigint: true });
      if (before.isDirectory()) {
        const hint = `name the lists in it: ${path}/*.hashlist`;
        throw new PsyncError("ERR_PSYNC_FAILED", `${path} is a folder`, { hint });
      }
      const sizeHintBytes = Number(before.size);
      let list: Hashlist | undefined;
      try {
        const chunks = file.createReadStream({ autoClose: false, highWaterMark: READ_BYTES });
        list = await parseHashlist(chunks as AsyncIterable<Uint8Array>, {
          name: path,
          sizeHintBytes,
        });
      } catch (error) {
        badList = error;
      }
      const after = await file.stat({ bigint: true });
      // A pipe changes by being read, and can be read only once.
      if (before.isFile() && fileStamp(before) !== fileStamp(after)) continue;
      if (list === undefined) throw badList;
      return { list, stats: after };
    } catch (error) {
      return fail(path, error);
    } finally {
      await file.close();
    }
  }
  throw new PsyncError("ERR_PSYNC_FILE_CHANGED", `${path} kept changing while it was read`, {
    hint: "wait until whatever writes it has finished",
    cause: badList,
  });
}

/** What changes when a file is written or replaced. */
export function fileStamp(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
}

function fail(path: string, error: unknown): never {
  if (error instanceof PsyncError) throw error;
  const code = systemErrorCode(error) === "ENOENT" ? "ERR_PSYNC_NO_ENTRY" : "ERR_PSYNC_FAILED";
  throw new PsyncError(code, `cannot read the hashlist ${path}: ${errorMessage(error)}`, {
    cause: error,
  });
}

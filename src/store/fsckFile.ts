/**
 * Where a check of the store was interrupted, in a small file of the store. It may be lost or deleted at any time: then
 * the next check begins anew. In a store that is not this user's alone it is neither written nor believed. Whatever was found bad stands in it as a name to be looked at again, never as a verdict.
 */
import { rm } from "node:fs/promises";
import { parseBlockHash, type BlockHash } from "../block/hash.js";
import type { BlockPlace } from "../block/ports.js";
import { writeAtomically } from "../core/atomicFile.js";
import { LIMITS } from "../core/limits.js";
import { FILE_MODE, type StoreLayout } from "./layout.js";
import { findForeignPart } from "./ownStore.js";
import { openBlockFile, readAll } from "./readBlockFile.js";

export interface PlacedHash {
  readonly place: BlockPlace;
  readonly hash: BlockHash;
}

/** How far a check came: kept blocks go before cached ones, each in the order of their names. */
export interface FsckProgress {
  readonly place: BlockPlace;
  /** The last name that was begun with; "": none. */
  readonly after: string;
  readonly checkedCount: number;
  readonly checkedBytes: number;
  /** What was bad, or under way: to be looked at again. */
  readonly suspects: readonly PlacedHash[];
}

export interface FsckFile {
  /** @returns undefined: there is none that is young enough and makes sense */
  load(): Promise<(FsckProgress & { readonly ageMs: number }) | undefined>;
  /** A store that cannot be written keeps no progress. @returns whether it was saved */
  save(progress: FsckProgress): Promise<boolean>;
  remove(): Promise<void>;
}

const VERSION = 1;

/** @param clock.nowUnixMs the time of day: it has to be understood by the next process */
export function createFsckFile(
  layout: StoreLayout,
  { nowUnixMs }: { readonly nowUnixMs: () => number },
): FsckFile {
  const { fsck: path } = layout;
  const isOurs = async (): Promise<boolean> => (await findForeignPart(layout)) === undefined;
  return {
    async load() {
      const saved = (await isOurs()) ? parseProgress(await readText(path)) : undefined;
      if (!saved) return undefined;
      const ageMs = nowUnixMs() - saved.savedUnixMs;
      // A time that lies ahead says nothing of how old it is.
      return ageMs >= 0 && ageMs <= LIMITS.check.resumeMs ? { ...saved, ageMs } : undefined;
    },
    async save(progress) {
      if (!(await isOurs())) return false;
      const saved = { version: VERSION, savedUnixMs: nowUnixMs(), ...progress };
      const written = writeAtomically(path, { mode: FILE_MODE }, (file) =>
        file.writeFile(`${JSON.stringify(saved)}\n`),
      );
      return written.then(
        () => true,
        () => false,
      );
    },
    async remove() {
      if (await isOurs()) await rm(path, { force: true }).catch(() => undefined);
    },
  };
}

/** "" where there is none, or what is there is no file. */
async function readText(path: string): Promise<string> {
  try {
    const opened = await openBlockFile(path);
    if (opened.kind !== "open") return "";
    try {
      const stats = await opened.handle.stat();
      return stats.isFile() ? Buffer.from(await readAll(opened.handle, stats.size)).toString() : "";
    } finally {
      await opened.handle.close();
    }
  } catch {
    return "";
  }
}

function parseProgress(
  text: string,
): (FsckProgress & { readonly savedUnixMs: number }) | undefined {
  let saved: unknown;
  try {
    saved = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(saved) || saved["version"] !== VERSION) return undefined;
  const { savedUnixMs, place, after, checkedCount, checkedBytes, suspects } = saved;
  if (!isCount(savedUnixMs) || !isCount(checkedCount) || !isCount(checkedBytes)) return undefined;
  if (!isPlace(place) || typeof after !== "string" || !Array.isArray(suspects)) return undefined;
  if (after !== "" && parseBlockHash(after) !== after) return undefined;
  const placed = suspects.map(parsePlaced);
  const known = placed.filter((suspect) => suspect !== undefined);
  // One that cannot be read would be a bad block that nobody looks at again.
  if (known.length < placed.length) return undefined;
  return { savedUnixMs, place, after, checkedCount, checkedBytes, suspects: known };
}

function parsePlaced(value: unknown): PlacedHash | undefined {
  if (!isObject(value) || !isPlace(value["place"])) return undefined;
  const hash = typeof value["hash"] === "string" ? parseBlockHash(value["hash"]) : undefined;
  return hash === undefined ? undefined : { place: value["place"], hash };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function isPlace(value: unknown): value is BlockPlace {
  return value === "kept" || value === "cached";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

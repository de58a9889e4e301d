/**
 * Hashlists of the mounted tree, parsed once for each state of their file. What they say about the file
 * is held for all that were asked for; their hashes only within a budget, the first read first to go.
 */
import type { BigIntStats } from "node:fs";
import { errorMessage, isPsyncError } from "../core/errors.js";
import type { Logger } from "../core/log.js";
import type { Hashlist } from "../hashlist/hashlist.js";
import { fileStamp, readHashlist } from "../hashlist/readHashlist.js";

/** What `stat` needs of a list. A `Hashlist` has it all; these two outlive its hashes. */
export type ListFacts = Pick<Hashlist, "digest" | "sizeBytes">;

export interface ListCache {
  /**
   * What the list at a path says, as it is now.
   *
   * @param stats of the list's file, just taken
   * @throws as `readHashlist`; a bad list is logged once for each state of its file
   */
  facts(path: string, stats: BigIntStats): Promise<ListFacts>;
  /** The list itself; otherwise as `facts`. */
  list(path: string, stats: BigIntStats): Promise<Hashlist>;
}

interface Remembered {
  readonly stamp: string;
  readonly facts: ListFacts | undefined;
  /** Why the list could not be read, where `facts` is undefined. */
  readonly error: unknown;
}

/**
 * A file can be written twice within one tick of its timestamps: what was read this shortly after
 * a change is not remembered.
 */
const RACY_MS = 100;

export function createListCache(parts: {
  readonly log: Logger;
  readonly maxLists: number;
  readonly maxHashBytes: number;
}): ListCache {
  const { log, maxLists, maxHashBytes } = parts;
  const remembered = new Map<string, Remembered>();
  const held = new Map<string, { readonly stamp: string; readonly list: Hashlist }>();
  const underWay = new Map<string, Promise<Hashlist>>();
  let hashBytes = 0;

  const remember = (path: string, entry: Remembered): void => {
    remembered.delete(path);
    remembered.set(path, entry);
    const oldest = remembered.keys().next();
    if (remembered.size > maxLists && oldest.done !== true) remembered.delete(oldest.value);
  };

  const drop = (path: string): void => {
    hashBytes -= held.get(path)?.list.memoryBytes ?? 0;
    held.delete(path);
  };

  const hold = (path: string, stamp: string, list: Hashlist): void => {
    drop(path);
    held.set(path, { stamp, list });
    hashBytes += list.memoryBytes;
    for (const oldest of held.keys()) {
      if (hashBytes <= maxHashBytes) return;
      drop(oldest);
    }
  };

  const read = async (path: string, stats: BigIntStats): Promise<Hashlist> => {
    const stamp = fileStamp(stats);
    const settled = Date.now() - Number(stats.ctimeMs) > RACY_MS;
    try {
      const { list, stats: readStats } = await readHashlist(path);
      if (settled && fileStamp(readStats) === stamp) {
        const { digest, sizeBytes } = list;
        remember(path, { stamp, facts: { digest, sizeBytes }, error: undefined });
        hold(path, stamp, list);
      }
      return list;
    } catch (error) {
      // Only what is in the file stays true of it: out of descriptors, say, is over in a moment.
      const isBad = isPsyncError(error, "ERR_PSYNC_BAD_HASHLIST");
      if (!isPsyncError(error, "ERR_PSYNC_NO_ENTRY")) log.error(errorMessage(error));
      if (isBad && settled) remember(path, { stamp, facts: undefined, error });
      throw error;
    }
  };

  /** One read of a file, however many ask for it at once. */
  const readOnce = (path: string, stats: BigIntStats): Promise<Hashlist> => {
    const key = `${fileStamp(stats)}:${path}`;
    const reading = underWay.get(key) ?? read(path, stats).finally(() => underWay.delete(key));
    underWay.set(key, reading);
    return reading;
  };

  const known = (path: string, stats: BigIntStats): ListFacts | undefined => {
    const entry = remembered.get(path);
    if (entry?.stamp !== fileStamp(stats)) return undefined;
    if (!entry.facts) throw entry.error;
    return entry.facts;
  };

  return {
    async facts(path, stats) {
      return known(path, stats) ?? (await readOnce(path, stats));
    },
    async list(path, stats) {
      known(path, stats);
      const entry = held.get(path);
      return entry?.stamp === fileStamp(stats) ? entry.list : readOnce(path, stats);
    },
  };
}

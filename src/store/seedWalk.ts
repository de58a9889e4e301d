/** The files of a folder of the user's, as a seed: symlinks inside are not followed, and what is no file is passed over. */
import type { BigIntStats, Dir, Dirent } from "node:fs";
import { opendir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../core/log.js";
import type { SeedCalls } from "./seedCalls.js";

export interface WalkOptions {
  /** Folders that are not entered. Absolute, without symlinks. */
  readonly excluded: ReadonlySet<string>;
  readonly calls: SeedCalls;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Told of what cannot be looked at. */
  readonly onFailed: (path: string, error: unknown) => void;
}

/**
 * Yields the paths of ordinary files, in no order: of a file itself, of a folder those below it. Other file systems that
 * are mounted there are not entered: one of them may be psync's own, which would wait for itself. A folder that
 * cannot be read is passed over, and so are names that are not UTF-8.
 *
 * @param root absolute, without symlinks
 * @throws the signal's reason
 */
export async function* walkSeed(
  root: string,
  { excluded, calls, log, signal, onFailed }: WalkOptions,
): AsyncGenerator<string> {
  if (excluded.has(root)) return;
  const look = async (path: string): Promise<BigIntStats | undefined> => {
    try {
      return await calls.lstat(path);
    } catch (error) {
      signal.throwIfAborted();
      onFailed(path, error);
      return undefined;
    }
  };
  const stats = await look(root);
  if (stats?.isFile() === true) yield root;
  if (stats?.isDirectory() !== true) return;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (excluded.has(folder)) continue;
    if (folder !== root && (await look(folder))?.dev !== stats.dev) continue;
    let unnamedCount = 0;
    try {
      for await (const entry of entriesOf(folder, calls)) {
        signal.throwIfAborted();
        const path = join(folder, entry.name);
        if (entry.name.includes("\ufffd")) unnamedCount += 1;
        else if (entry.isDirectory()) folders.push(path);
        else if (entry.isFile()) yield path;
      }
    } catch (error) {
      signal.throwIfAborted();
      onFailed(folder, error);
    }
    if (unnamedCount > 0) {
      log.warn(`${folder}: ${unnamedCount} names are not UTF-8, and are no seeds`);
    }
  }
}

async function* entriesOf(folder: string, calls: SeedCalls): AsyncGenerator<Dirent> {
  let opening: Promise<Dir> | undefined;
  const closeIt = (dir: Dir): void => {
    calls.behind(folder, () => dir.close());
  };
  const call = (): Promise<Dir> => (opening = opendir(folder, { bufferSize: 256 }));
  try {
    const dir = await calls.run(folder, call);
    for (;;) {
      const entry = await calls.run(folder, () => dir.read());
      if (!entry) return;
      yield entry;
    }
  } finally {
    // One that was late is opened all the same.
    opening?.then(closeIt, () => undefined);
  }
}

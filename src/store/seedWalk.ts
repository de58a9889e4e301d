/** The files of a folder of the user's, as a seed: symlinks inside are not followed, and what is no file is passed over. */
import { opendir, lstat } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage } from "../core/errors.js";
import type { Logger } from "../core/log.js";

export interface WalkOptions {
  /** Folders that are not entered. Absolute, without symlinks. */
  readonly excluded: ReadonlySet<string>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Yields the paths of ordinary files, in no order: of a file itself, of a folder those below it. Other file systems that
 * are mounted there are not entered: one of them may be psync's own, which would wait for itself. A folder that
 * cannot be read is logged and passed over, and so are names that are not UTF-8.
 *
 * @param root absolute, without symlinks
 * @throws the signal's reason
 */
export async function* walkSeed(
  root: string,
  { excluded, log, signal }: WalkOptions,
): AsyncGenerator<string> {
  if (excluded.has(root)) return;
  const stats = await look(root, log);
  if (stats?.isFile() === true) yield root;
  if (stats?.isDirectory() !== true) return;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    if (excluded.has(folder)) continue;
    if (folder !== root && (await look(folder, log))?.dev !== stats.dev) continue;
    let unnamedCount = 0;
    try {
      for await (const entry of await opendir(folder, { bufferSize: 256 })) {
        signal.throwIfAborted();
        const path = join(folder, entry.name);
        if (entry.name.includes("\ufffd")) unnamedCount += 1;
        else if (entry.isDirectory()) folders.push(path);
        else if (entry.isFile()) yield path;
      }
    } catch (error) {
      signal.throwIfAborted();
      log.warn(`no seeds are taken from ${folder}: ${errorMessage(error)}`);
    }
    if (unnamedCount > 0) {
      log.warn(`${folder}: ${unnamedCount} names are not UTF-8, and are no seeds`);
    }
  }
}

async function look(path: string, log: Logger) {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    log.warn(`no seeds are taken from ${path}: ${errorMessage(error)}`);
    return undefined;
  }
}

/**
 * Files that are being written: their names say which process writes them, so that what a crash left can
 * be told from what a live process still needs. Knows nothing of blocks.
 *
 * A name is `<pid>.<start>.<namespace>.<id>`. A pid alone is used again after a while: the start time of
 * the process (proc(5), /proc/pid/stat, field 22) tells the two apart. A pid means something only in its
 * pid namespace (pid_namespaces(7)): of a process in another container nothing can be seen from here.
 */
import { randomUUID } from "node:crypto";
import { lstat, open, readdir, readFile, readlink, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { errorMessage, systemErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { FILE_MODE } from "./layout.js";
import { isAbsent } from "./storeError.js";

export interface TempFiles {
  /** A path in tmp/ that no other call and no other process gets. */
  newPath(): string;
  /** Files of processes that are gone, which were removed when it was opened. */
  readonly clearedCount: number;
}

interface Owner {
  readonly pid: number;
  /** Clock ticks from boot to the start of the process; decimal digits. */
  readonly start: string;
  /** Inode of the pid namespace; decimal digits. */
  readonly namespace: string;
}

const NAME = /^(\d+)\.(\d+)\.(\d+)\.[0-9a-f-]+$/;

/**
 * Proves that tmp/ can be written, and removes what no live process owns.
 *
 * @throws the system error, when a file cannot be made there
 * Cost: one readdir of tmp/, which holds a file a write in progress; independent of the store's size.
 */
export async function openTempFiles(folder: string, log: Logger): Promise<TempFiles> {
  const self = await ownOwner();
  const newPath = (): string =>
    join(folder, `${self.pid}.${self.start}.${self.namespace}.${randomUUID()}`);
  const probe = newPath();
  // The probe's time comes from the clock that stamped the others, also on a network file system.
  let nowMs: number;
  try {
    const handle = await open(probe, "wx", FILE_MODE);
    try {
      nowMs = (await handle.stat()).mtimeMs;
    } finally {
      await handle.close();
    }
  } finally {
    await rm(probe, { force: true });
  }
  return { newPath, clearedCount: await clearAbandoned({ folder, self, nowMs, log }) };
}

/** Counts what processes left that are gone; what cannot be looked at is left out. Changes nothing. */
export async function countAbandoned(folder: string): Promise<number> {
  const self = await ownOwner();
  let count = 0;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    // Without a probe there is no other clock to compare with; a day's grace forgives what this one is off.
    if (await isAbandoned(path, { self, nowMs: Date.now() }).catch(() => false)) count += 1;
  }
  return count;
}

/** @throws the system error, when the file cannot be looked at */
async function isAbandoned(
  path: string,
  { self, nowMs }: Pick<ClearOptions, "self" | "nowMs">,
): Promise<boolean> {
  const owner = parseOwner(basename(path));
  return owner?.namespace === self.namespace
    ? !(await isLive(owner))
    : nowMs - (await lstat(path)).mtimeMs > LIMITS.store.foreignTempFileMs;
}

interface ClearOptions {
  readonly folder: string;
  readonly self: Owner;
  readonly nowMs: number;
  readonly log: Logger;
}

async function clearAbandoned({ folder, self, nowMs, log }: ClearOptions): Promise<number> {
  let clearedCount = 0;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    try {
      if (!(await isAbandoned(path, { self, nowMs }))) continue;
      await rm(path);
      clearedCount += 1;
      log.debug(`removed ${path}, which a process left that is gone`);
    } catch (error) {
      // Another process clears at the same time; or the file stays, which costs only its space.
      if (!isAbsent(error)) log.warn(`cannot clear ${path}: ${errorMessage(error)}`);
    }
  }
  return clearedCount;
}

function parseOwner(name: string): Owner | undefined {
  const match = NAME.exec(name);
  const [, pid, start, namespace] = match ?? [];
  if (pid === undefined || start === undefined || namespace === undefined) return undefined;
  return { pid: Number(pid), start, namespace };
}

/** Whether the very process that made the name still runs. In doubt it does. */
async function isLive(owner: Owner): Promise<boolean> {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: somebody else's process, so there is one.
    if (systemErrorCode(error) === "ESRCH") return false;
  }
  try {
    const { start, state } = parseStat(await readFile(`/proc/${owner.pid}/stat`, "utf8"));
    return start === owner.start && state !== "Z" && state !== "X";
  } catch {
    // /proc can be hidden from this user (hidepid); kill has said that the pid exists.
    return true;
  }
}

async function ownOwner(): Promise<Owner> {
  const { start } = parseStat(await readFile("/proc/self/stat", "utf8"));
  const namespace = /\d+/.exec(await readlink("/proc/self/ns/pid"))?.[0] ?? "0";
  return { pid: process.pid, start, namespace };
}

function parseStat(text: string): { readonly start: string; readonly state: string } {
  // The second field is the program's name in parentheses, and may hold blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", start: fields[19] ?? "0" };
}

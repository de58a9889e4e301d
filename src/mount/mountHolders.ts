/**
 * Who keeps a mount busy. Reads only what /proc says as text: a call on the mount itself could hang.
 * Processes of other users are seen by root only.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { MountEntry } from "../core/mountTable.js";

export interface MountHolder {
  readonly pid: number;
  readonly command: string;
  /** What holds it: `current folder`, `open file /mnt/a`, … */
  readonly how: string;
}

/** One entry a process, the first thing found. */
export async function findHolders(entry: MountEntry): Promise<MountHolder[]> {
  const holders: MountHolder[] = [];
  for (const name of await names("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    if (await isStuck(join("/proc", name))) continue;
    const how = await holds(join("/proc", name), entry);
    if (how === undefined) continue;
    const command = (await text(join("/proc", name, "comm"))).trim();
    holders.push({ pid: Number(name), command, how });
  }
  return holders;
}

/** What a process holds that hangs on its way out cannot be read, only waited for, and its state can. */
async function isStuck(folder: string): Promise<boolean> {
  return /^State:\s*[DZX]/m.test(await text(join(folder, "status")));
}

async function holds(folder: string, entry: MountEntry): Promise<string | undefined> {
  const links = { cwd: "current folder", root: "root folder", exe: "program" } as const;
  for (const [link, how] of Object.entries(links)) {
    if (isUnder(await target(join(folder, link)), entry.mountpoint)) return how;
  }
  for (const fd of await names(join(folder, "fd"))) {
    const path = await target(join(folder, "fd", fd));
    if (!path.startsWith("/")) continue;
    // The path alone would also fit a file below the mount, or in another namespace.
    const info = await text(join(folder, "fdinfo", fd));
    if (Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1]) === entry.mountId) return `open file ${path}`;
  }
  return (await isMapped(folder, entry)) ? "mapped file" : undefined;
}

async function isMapped(folder: string, entry: MountEntry): Promise<boolean> {
  const hex = (value: number): string => value.toString(16).padStart(2, "0");
  const device = ` ${hex(entry.deviceMajor)}:${hex(entry.deviceMinor)} `;
  return (await text(join(folder, "maps"))).includes(device);
}

function isUnder(path: string, mountpoint: string): boolean {
  return path === mountpoint || path.startsWith(`${mountpoint}/`);
}

/** Processes end while they are looked at, and some are not ours to look at: both count as nothing. */
const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => []);
const text = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
const target = (path: string): Promise<string> => readlink(path).catch(() => "");

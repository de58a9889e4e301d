/**
 * The kernel's table of mounts, read from /proc/self/mountinfo.
 * Reading it never touches a mounted file system, so it cannot hang on a dead one. Source: proc_pid_mountinfo(5).
 */
import { readFile } from "node:fs/promises";

export interface MountEntry {
  /** Unique among the mounts that exist now; the kernel uses it again later. */
  readonly mountId: number;
  readonly parentId: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** An absolute path, as this process sees it. */
  readonly mountpoint: string;
  /** `fuse.psync`, `ext4`, … */
  readonly type: string;
  readonly source: string;
}

/** What the kernel calls a mount of psync, whatever driver made it. */
export const PSYNC_MOUNT_TYPE = "fuse.psync";

/** Whether psync made the mount. */
export function isPsyncMount(entry: MountEntry): boolean {
  return entry.type === PSYNC_MOUNT_TYPE;
}

/** Reads a mountinfo text; lines that do not have its form are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split("\n").flatMap((line) => parseLine(line) ?? []);
}

/** All mounts of this process's namespace, in the order they were made. */
export async function readMountTable(): Promise<MountEntry[]> {
  return parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
}

/**
 * The mount on exactly this path; of several on top of each other, the one that shows.
 *
 * @param mountpoint an absolute path without symlinks, `.` and `..`
 */
export async function findMount(mountpoint: string): Promise<MountEntry | undefined> {
  return topmostMount(await readMountTable(), mountpoint);
}

/** As {@link findMount}, in a table that was read before. */
export function topmostMount(
  table: readonly MountEntry[],
  mountpoint: string,
): MountEntry | undefined {
  const onPath = table.filter((entry) => entry.mountpoint === mountpoint);
  const covered = new Set(onPath.map((entry) => entry.parentId));
  // The one that no other mount of the same path stands on.
  return onPath.findLast((entry) => !covered.has(entry.mountId)) ?? onPath.at(-1);
}

/** The mount that a path lies on. @param path absolute; symlinks in it are not followed */
export function mountAbove(table: readonly MountEntry[], path: string): MountEntry | undefined {
  let deepest = "";
  for (const { mountpoint } of table) {
    if (mountpoint.length <= deepest.length) continue;
    const folder = mountpoint.endsWith("/") ? mountpoint : `${mountpoint}/`;
    if (path === mountpoint || path.startsWith(folder)) deepest = mountpoint;
  }
  return topmostMount(table, deepest);
}

/** The `st_dev` of files on the mount, in glibc's encoding. Source: makedev(3). */
export function deviceNumber(entry: MountEntry): number {
  const { deviceMajor: major, deviceMinor: minor } = entry;
  // Beyond 32 bits once the major has more than 12 bits, which no kernel gives out.
  return (major & 0xfff) * 0x100 + (minor & 0xff) + Math.floor(minor / 0x100) * 0x100000;
}

function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(" ");
  // Between the mount options and the type stand zero or more optional fields, then a lone "-".
  const separator = fields.indexOf("-", 6);
  const [mountId, parentId, device, , mountpoint] = fields;
  const [major, minor] = device?.split(":") ?? [];
  const type = fields[separator + 1];
  const source = fields[separator + 2];
  if (separator < 0 || mountpoint === undefined || type === undefined) return undefined;
  return {
    mountId: Number(mountId),
    parentId: Number(parentId),
    deviceMajor: Number(major),
    deviceMinor: Number(minor),
    mountpoint: unescape(mountpoint),
    type: unescape(type),
    source: unescape(source ?? ""),
  };
}

/** Spaces, tabs, newlines, backslashes and hashes stand as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

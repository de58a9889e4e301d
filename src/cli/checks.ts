/** What psync needs of a machine, checked one thing at a time. Nothing is changed by a check. */
import { constants } from "node:fs";
import { access, stat, statfs } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { formatSize } from "../core/bytes.js";
import { errorMessage, systemErrorCode } from "../core/errors.js";
import { foreignness } from "../core/ownership.js";
import { FUSE_CONFIG_PATH, userAllowOther } from "../mount/fuseConfig.js";

export interface Check {
  /** What was looked at. */
  readonly name: string;
  /** `warn`: psync works, and something will be missed. */
  readonly status: "ok" | "warn" | "fail";
  /** What was found. */
  readonly found: string;
  /** Commands that need it. */
  readonly neededBy: string;
  /** The command that mends it. */
  readonly mend?: string;
}

const INSTALL_FUSE = "sudo apt-get install libfuse2 fuse3";
const MIN_NODE = [20, 19] as const;
const LOW_SPACE_BYTES = 1024 ** 3;

export function checkNode(version = process.versions.node): Check {
  const base = { name: "Node", found: version, neededBy: "all commands" };
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [minMajor, minMinor] = MIN_NODE;
  return major > minMajor || (major === minMajor && minor >= minMinor)
    ? { ...base, status: "ok" }
    : { ...base, status: "fail", mend: `install Node ${minMajor}.${minMinor} or newer` };
}

/** A package with native code: whether it loads. */
export async function checkPackage(options: {
  readonly name: string;
  readonly neededBy: string;
  readonly load: () => unknown;
  readonly mend: string;
}): Promise<Check> {
  const { name, neededBy, load, mend } = options;
  try {
    await load();
    return { name, neededBy, status: "ok", found: "loads" };
  } catch (error) {
    const [firstLine = ""] = errorMessage(error).split("\n");
    return { name, neededBy, status: "fail", found: firstLine, mend };
  }
}

export async function checkFuseDevice(): Promise<Check> {
  const base = { name: "/dev/fuse", neededBy: "mount" };
  try {
    await access("/dev/fuse", constants.R_OK | constants.W_OK);
    return { ...base, status: "ok", found: "can be opened" };
  } catch (error) {
    const missing = systemErrorCode(error) === "ENOENT";
    const mend = missing ? "sudo modprobe fuse" : "sudo chmod 666 /dev/fuse";
    return { ...base, status: "fail", found: missing ? "is not there" : "no permission", mend };
  }
}

/** The helper that mounts and unmounts for users; it must be setuid where psync does not run as root. */
export async function checkFusermount(isRoot = process.getuid?.() === 0): Promise<Check> {
  const base = { name: "fusermount3", neededBy: "mount, umount" };
  const path = await findProgram("fusermount3");
  if (path === undefined) {
    return { ...base, status: "fail", found: "is not installed", mend: INSTALL_FUSE };
  }
  const isSetuid = ((await stat(path)).mode & 0o4000) !== 0;
  if (isRoot || isSetuid) return { ...base, status: "ok", found: path };
  return {
    ...base,
    status: "fail",
    found: `${path} is not setuid root`,
    mend: `sudo chmod u+s ${path}`,
  };
}

/** Needed only for `--allow-other`, and only where psync does not run as root. */
export async function checkAllowOther(isRoot = process.getuid?.() === 0): Promise<Check> {
  const base = { name: "user_allow_other", neededBy: "mount --allow-other" };
  if (isRoot) return { ...base, status: "ok", found: "not needed by root" };
  if (await userAllowOther()) return { ...base, status: "ok", found: "is set" };
  return {
    ...base,
    status: "warn",
    found: `is not set in ${FUSE_CONFIG_PATH}`,
    mend: `echo user_allow_other | sudo tee -a ${FUSE_CONFIG_PATH}`,
  };
}

/** The store's folder: there or to be made, writable, with room. */
export async function checkStore(storePath: string): Promise<Check> {
  const base = { name: "store", neededBy: "all commands" };
  const existing = await nearestExisting(storePath);
  try {
    await access(existing, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const found = `${existing}: ${errorMessage(error)}`;
    if (existing === storePath && (await canBeRead(existing))) {
      const mend = "name one that can be written with --store or PSYNC_STORE";
      return { ...base, neededBy: "export, get", status: "warn", found, mend };
    }
    return { ...base, status: "fail", found, mend: "name another one with --store or PSYNC_STORE" };
  }
  const foreign = existing === storePath ? foreignness(await stat(existing)) : undefined;
  if (foreign !== undefined) {
    const found = `${storePath} ${foreign.what}`;
    const mend = `${foreign.mend} ${storePath}`;
    return { ...base, neededBy: "export, get, mount", status: "warn", found, mend };
  }
  const { bavail, bsize } = await statfs(existing);
  const freeBytes = bavail * bsize;
  const found = `${storePath}, ${formatSize(freeBytes)} free`;
  return freeBytes < LOW_SPACE_BYTES
    ? { ...base, status: "warn", found, mend: "make room, or name another one with --store" }
    : { ...base, status: "ok", found };
}

async function canBeRead(path: string): Promise<boolean> {
  return access(path, constants.R_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function nearestExisting(path: string): Promise<string> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  return exists || dirname(path) === path ? path : nearestExisting(dirname(path));
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter).concat("/bin", "/usr/bin")) {
    const path = join(folder, name);
    if (
      await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

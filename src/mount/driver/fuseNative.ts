/**
 * The driver over fuse-native (libfuse 2). The only file that imports it, and only when something is mounted:
 * psync works without libfuse as long as it mounts nothing. What is odd here is explained in native-notes/fuse-native.md.
 */
import { access, constants, realpath } from "node:fs/promises";
import { isMainThread } from "node:worker_threads";
import type Fuse from "fuse-native";
import type { Clock } from "../../core/clock.js";
import { errorMessage, PsyncError } from "../../core/errors.js";
import { LIMITS } from "../../core/limits.js";
import type { Logger } from "../../core/log.js";
import { FUSE_CONFIG_PATH, userAllowOther } from "../fuseConfig.js";
import { deviceNumber, findMount, isPsyncMount, type MountEntry } from "../../core/mountTable.js";
import { unmountPath } from "../unmount.js";
import { createCalls } from "./calls.js";
import { deviceFds } from "./deviceFds.js";
import { createDetacher } from "./detacher.js";
import { createFileCalls } from "./fileCalls.js";
import { createFileNodes } from "./fileNodes.js";
import { createInodeNumbers } from "./inodeNumbers.js";
import { createNativeHandlers } from "./nativeHandlers.js";
import { nativeOptions } from "./nativeOptions.js";
import { watchMount } from "./nativeMount.js";
import type { Driver, DriverMount, FileSystem, MountOptions } from "./port.js";
import { createRenamer } from "./renamer.js";

export interface FuseNativeDriverParts {
  readonly clock: Clock;
  readonly log: Logger;
  /** For a test that cannot wait as long. */
  readonly openDeadlineMs?: number;
}

const INSTALL_HINT = "apt-get install libfuse2 fuse3";

/** Creates the driver; nothing is loaded until it mounts. */
export function createFuseNativeDriver(parts: FuseNativeDriverParts): Driver {
  return {
    name: "fuse-native",
    mount: (fileSystem, options) => mountNative(fileSystem, options, parts),
  };
}

async function mountNative(
  fileSystem: FileSystem,
  options: MountOptions,
  { clock, log, openDeadlineMs = LIMITS.read.statDeadlineMs }: FuseNativeDriverParts,
): Promise<DriverMount> {
  if (!isMainThread) throw mountError("fuse-native works in the main thread only");
  const mountpoint = await resolveMountpoint(options.mountpoint);
  const optionText = nativeOptions({ ...options, mountpoint });
  const FuseClass = await loadFuse();

  const calls = createCalls({ log });
  const nodes = createFileNodes({
    nowMs: () => clock.nowMs(),
    attributesValidMs: LIMITS.mount.attributesValidMs,
    maxRemembered: LIMITS.mount.rememberedVersions,
  });
  const renamer = createRenamer({ clock });
  const place = { mountpoint, device: Number.NaN };
  const detacher = createDetacher({
    nodes,
    renamer,
    clock,
    log,
    mount: place,
    maxHoldMs: LIMITS.mount.attributesValidMs * 0.6,
  });
  const files = createFileCalls({ fileSystem, nodes, detacher, clock, log, openDeadlineMs });
  const inodes = createInodeNumbers({ maxRemembered: LIMITS.mount.rememberedInodes });
  const handlers = createNativeHandlers({ fileSystem, calls, files, detacher, inodes });

  const operations: Record<string, true> = {};
  for (const name of Object.keys(handlers)) operations[name.slice("_op_".length)] = true;
  const fuse = new FuseClass(mountpoint, operations, { timeout: false });
  Object.assign(fuse, handlers, { _fuseOptions: () => optionText });

  const before = await findMount(mountpoint);
  const fdsBefore = await deviceFds();
  try {
    await start(fuse, clock);
  } catch (error) {
    await cleanUp(mountpoint, before, clock, log);
    throw await explain(error, mountpoint, options);
  }
  const entry = await findMount(mountpoint);
  if (!entry || !isPsyncMount(entry) || entry.mountId === before?.mountId) {
    throw mountError("the kernel does not show the mount");
  }
  place.device = deviceNumber(entry);
  const deviceFd = (await deviceFds()).find((fd) => !fdsBefore.includes(fd));
  return watchMount({
    entry,
    deviceFd,
    fuse,
    calls,
    files,
    nodes,
    detacher,
    renamer,
    inodes,
    clock,
    log,
  });
}

/** Mounts; ends when libfuse serves, at the latest after the limit. */
function start(fuse: Fuse, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(LIMITS.mount.readyTimeoutMs, () => {
      reject(new Error(`libfuse did not start within ${LIMITS.mount.readyTimeoutMs} ms`));
    });
    fuse.mount((error) => {
      cancel();
      if (error) reject(error);
      else resolve();
    });
  });
}

async function resolveMountpoint(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw mountError(`${path}: ${errorMessage(error)}`, {
      hint: "the mountpoint must be an existing folder; a mount left there by a killed psync must be unmounted first",
      cause: error,
    });
  }
}

/** Loads the addon, for who wants to know whether it can be. @throws ERR_PSYNC_MOUNT libfuse 2 is missing */
export async function assertFuseNativeLoads(): Promise<void> {
  await loadFuse();
}

/** Loads the addon, and takes away its means to run a shell. */
async function loadFuse(): Promise<typeof Fuse> {
  try {
    const { default: FuseClass } = await import("fuse-native");
    // `close` calls it before it lets the process end; psync has unmounted by then. Others would run a shell by it.
    FuseClass.unmount = (_mountpoint, callback) => {
      callback(null);
    };
    return FuseClass;
  } catch (error) {
    throw mountError(`libfuse 2 cannot be loaded: ${errorMessage(error)}`, {
      hint: INSTALL_HINT,
      cause: error,
    });
  }
}

/** libfuse mounts first and reads some options later: what it leaves behind is dead and ours. */
async function cleanUp(
  mountpoint: string,
  before: MountEntry | undefined,
  clock: Clock,
  log: Logger,
): Promise<void> {
  try {
    const now = await findMount(mountpoint);
    if (!now || !isPsyncMount(now) || now.mountId === before?.mountId) return;
    await unmountPath(mountpoint, { clock, lazy: true });
  } catch (error) {
    log.warn(`${mountpoint}: a failed mount was left behind: ${errorMessage(error)}`);
  }
}

/** libfuse says why on stderr only, so the usual reasons are looked for. */
async function explain(
  error: unknown,
  mountpoint: string,
  options: MountOptions,
): Promise<PsyncError> {
  const message = `${mountpoint} cannot be mounted: ${errorMessage(error)}`;
  const failing = async (check: Promise<unknown>): Promise<boolean> => {
    try {
      await check;
      return false;
    } catch {
      return true;
    }
  };
  if (await failing(access("/dev/fuse", constants.R_OK | constants.W_OK))) {
    return mountError(`${message}: /dev/fuse is missing or not allowed`, {
      hint: "load the kernel module: modprobe fuse; in a container pass the device in: --device /dev/fuse --cap-add SYS_ADMIN",
      cause: error,
    });
  }
  if (options.allowOther && process.getuid?.() !== 0) {
    if (!(await userAllowOther())) {
      return mountError(`${message}: allow_other is for root only here`, {
        hint: `write user_allow_other into ${FUSE_CONFIG_PATH}`,
        cause: error,
      });
    }
  }
  if (/in use/.test(errorMessage(error))) {
    return mountError(`${mountpoint} cannot be mounted: another file system is mounted on it`, {
      hint: "use an ordinary empty folder",
      cause: error,
    });
  }
  return mountError(message, {
    hint: `the folder must be empty and yours, and fusermount there (${INSTALL_HINT}); libfuse wrote the cause to stderr`,
    cause: error,
  });
}

function mountError(
  message: string,
  options: { readonly hint?: string; readonly cause?: unknown } = {},
): PsyncError {
  return new PsyncError("ERR_PSYNC_MOUNT", message, options);
}

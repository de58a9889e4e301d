/**
 * The life of one mount: the mountpoint is made ready, mounted, and taken down again.
 * It never touches a mount that is not psync's.
 */
import { readdir, stat } from "node:fs/promises";
import { sep } from "node:path";
import { pause } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, PsyncError, systemErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import type { Driver, DriverMount, FileSystem } from "./driver/port.js";
import { mountPathOf } from "./mountPath.js";
import { clearDeadMount } from "./unmount.js";

export interface MountSessionParts {
  readonly driver: Driver;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface MountSessionOptions {
  readonly mountpoint: string;
  /** What `findmnt` shows as the source: the folder of lists. */
  readonly sourceName: string;
  readonly allowOther: boolean;
  /** Folders that psync itself reads: none may lie in the mount, or it would wait for itself. */
  readonly ownFolders: readonly string[];
}

export interface MountSession {
  /** The mountpoint, absolute and without symlinks. */
  readonly mountpoint: string;
  /** Settles when the kernel has let go of the mount, whoever unmounted it. */
  readonly closed: Promise<void>;
  /**
   * Unmounts. Where files are open in it, it leaves the tree at once, and they are served for a while longer.
   *
   * @throws ERR_PSYNC_MOUNT it cannot be unmounted
   */
  stop(): Promise<void>;
}

/**
 * Mounts, and returns once the kernel asks: whoever reads it from then on is answered.
 *
 * @throws ERR_PSYNC_MOUNT with the reason; the mountpoint is as it was
 */
export async function startMountSession(
  parts: MountSessionParts,
  options: MountSessionOptions,
): Promise<MountSession> {
  const { driver, fileSystem, clock, log } = parts;
  const mountpoint = await mountPathOf(options.mountpoint);
  if (await clearDeadMount(mountpoint, { clock })) {
    log.info(`${mountpoint}: cleared what a killed psync had left mounted`);
  }
  await checkMountpoint(mountpoint, options.ownFolders);
  const { allowOther } = options;
  // A driver passes it on in a list that commas divide.
  const sourceName = options.sourceName.replace(/[,\\\0]/g, "_");
  // The kernel has said INIT by then. No stat of it from here: a process that is killed while it waits for itself never
  // ends (native-notes/fuse-native.md).
  const mount = await driver.mount(fileSystem, { mountpoint, sourceName, allowOther });
  return { mountpoint, closed: mount.closed, stop: () => stop(mount, { mountpoint, clock, log }) };
}

async function checkMountpoint(mountpoint: string, ownFolders: readonly string[]): Promise<void> {
  const stats = await stat(mountpoint).catch((error: unknown) => {
    const isMissing = systemErrorCode(error) === "ENOENT";
    const problem = isMissing ? "does not exist" : `cannot be used: ${errorMessage(error)}`;
    throw new PsyncError("ERR_PSYNC_MOUNT", `the mountpoint ${mountpoint} ${problem}`, {
      cause: error,
      ...(isMissing ? { hint: `make it: mkdir -p ${mountpoint}` } : {}),
    });
  });
  if (!stats.isDirectory()) {
    throw new PsyncError("ERR_PSYNC_MOUNT", `the mountpoint ${mountpoint} is not a folder`);
  }
  for (const folder of ownFolders) {
    if (isInside(folder, mountpoint) || isInside(mountpoint, folder)) {
      throw new PsyncError("ERR_PSYNC_MOUNT", `${mountpoint} and ${folder} lie in one another`, {
        hint: "psync would wait for itself: choose a mountpoint apart from the lists and the store",
      });
    }
  }
  if ((await readdir(mountpoint)).length > 0) {
    throw new PsyncError("ERR_PSYNC_MOUNT", `the mountpoint ${mountpoint} is not empty`, {
      hint: "a mount would hide what is in it: choose an empty folder",
    });
  }
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

const OPEN_FILES_POLL_MS = 50;

async function stop(
  mount: DriverMount,
  parts: { readonly mountpoint: string; readonly clock: Clock; readonly log: Logger },
): Promise<void> {
  const { mountpoint, clock, log } = parts;
  try {
    await mount.unmount({ lazy: false });
    return;
  } catch (error) {
    log.warn(`${errorMessage(error)}; taking it out of the tree`);
  }
  await mount.unmount({ lazy: true });
  const endMs = clock.nowMs() + LIMITS.mount.unmountGraceMs;
  const never = new AbortController().signal;
  while (mount.openFiles() > 0 && clock.nowMs() < endMs) {
    await pause(clock, OPEN_FILES_POLL_MS, never);
  }
  const leftCount = mount.openFiles();
  if (leftCount > 0) log.warn(`${mountpoint}: ${leftCount} open files are not served any more`);
  // What still waits gets an error now, and not when the process has ended.
  mount.stopServing();
}

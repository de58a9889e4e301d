/**
 * A mount while it lives: looks after changed files, notices when the mount is gone, and unmounts.
 * libfuse tells nobody that it was unmounted, so the kernel's table is read again and again.
 */
import type Fuse from "fuse-native";
import type { Clock } from "../../core/clock.js";
import { errorMessage } from "../../core/errors.js";
import { LIMITS } from "../../core/limits.js";
import type { Logger } from "../../core/log.js";
import { type MountEntry, readMountTable } from "../../core/mountTable.js";
import { unmountPath } from "../unmount.js";
import type { Calls } from "./calls.js";
import { isDeviceFd } from "./deviceFds.js";
import type { Detacher } from "./detacher.js";
import type { FileCalls } from "./fileCalls.js";
import type { FileNodes } from "./fileNodes.js";
import type { InodeNumbers } from "./inodeNumbers.js";
import type { DriverMount } from "./port.js";
import type { Renamer } from "./renamer.js";

export interface WatchedMount {
  readonly entry: MountEntry;
  /** libfuse's own descriptor of /dev/fuse. */
  readonly deviceFd: number | undefined;
  readonly fuse: Fuse;
  readonly calls: Calls;
  readonly files: FileCalls;
  readonly nodes: FileNodes;
  readonly detacher: Detacher;
  readonly renamer: Renamer;
  readonly inodes: InodeNumbers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How late an unmount by somebody else is noticed; each look costs a reading of the kernel's table. */
const MOUNT_CHECK_MS = 500;
/** Once the mount has left the table: libfuse closes its device in a moment, or when the last file is closed. */
const DEVICE_CHECK_MS = 50;
/** A rename that takes longer makes the mount busy, as any other call does. */
const MAX_IDLE_WAIT_MS = 500;
/** libfuse ends idle threads and starts new ones; each one ever started costs memory and wake-up time. */
const MANY_THREADS = 1_000;

export function watchMount(parts: WatchedMount): DriverMount {
  const { entry, fuse, calls, files, nodes, detacher, renamer, inodes, clock, log } = parts;
  const checking = new AbortController();
  let warnedOfThreads = false;

  const isMounted = async (): Promise<boolean> => {
    try {
      return (await readMountTable()).some(
        ({ mountId, mountpoint }) => mountId === entry.mountId && mountpoint === entry.mountpoint,
      );
    } catch (error) {
      // Out of file descriptors, for example: nothing that says the mount is gone.
      log.warn(`the table of mounts cannot be read: ${errorMessage(error)}`);
      return true;
    }
  };

  const after = (delayMs: number): Promise<void> =>
    new Promise((resolve) => clock.after(delayMs, resolve));

  const watchFiles = async (): Promise<void> => {
    while (!checking.signal.aborted) {
      await files.checkOpenFiles(checking.signal);
      if (!warnedOfThreads && fuse._threads.size > MANY_THREADS) {
        warnedOfThreads = true;
        log.warn(
          `libfuse has started ${MANY_THREADS} threads: reads get slower until it is mounted anew`,
        );
      }
      await after(LIMITS.mount.attributesValidMs / 2);
    }
  };

  let lookNow = (): void => undefined;
  const nextLook = (): Promise<void> =>
    new Promise((resolve) => {
      const cancel = clock.after(MOUNT_CHECK_MS, resolve);
      lookNow = () => {
        cancel();
        resolve();
      };
    });

  const watchUntilGone = async (): Promise<void> => {
    while (await isMounted()) await nextLook();
    // No path leads to it any more, so none needs a new node.
    checking.abort();
    // Unmounted lazily, files that are still open are served on. libfuse closes its device after the last of them.
    while (parts.deviceFd !== undefined && (await isDeviceFd(parts.deviceFd))) {
      if (files.openCount === 0) calls.stopServing();
      await after(DEVICE_CHECK_MS);
    }
    calls.abortAll();
    files.releaseAll();
    renamer.close();
    // Lets the process end: fuse-native's handle in the event loop is the last thing that keeps it.
    await new Promise<void>((resolve) => {
      fuse.close(() => {
        resolve();
      });
    });
  };

  const closed = watchUntilGone();
  watchFiles().catch((error: unknown) => {
    log.error(`changed files are not looked for any more: ${errorMessage(error)}`);
  });

  return {
    closed,
    openFiles: () => files.openCount,
    metrics: () => ({
      threads: fuse._threads.size,
      pendingCalls: calls.pending,
      openFiles: files.openCount,
      rememberedVersions: nodes.size,
      inodeNumbers: inodes.size,
    }),
    async unmount({ lazy }) {
      // The renaming process holds a folder of the mount open while it works.
      await Promise.race([detacher.idle(), after(MAX_IDLE_WAIT_MS)]);
      if (await isMounted()) await unmountPath(entry.mountpoint, { clock, lazy });
      // What was not busy has no reader: what is still under way is the kernel's own read-ahead.
      if (!lazy) calls.stopServing();
      lookNow();
      if (!lazy) await closed;
    },
    stopServing: () => {
      calls.stopServing();
    },
  };
}

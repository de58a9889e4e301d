/** A mount made by the command line, as a user makes it: served by another process, so that any call on it is safe. */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { promisify } from "node:util";
import { systemClock } from "../../src/core/clock.js";
import { findMount } from "../../src/mount/mountTable.js";
import { unmountPath } from "../../src/mount/unmount.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { startPsync, type RunningPsync } from "./cli.js";

export interface MountedCli {
  readonly folder: string;
  readonly process: RunningPsync;
}

export interface MountCliOptions {
  readonly lists: string;
  readonly store: string;
  readonly servers?: readonly string[];
  readonly mountpoint: string;
  readonly args?: readonly string[];
}

/** Mounts in the foreground; unmounted when the test ends, however it ends. */
export async function mountCli(
  context: CleanUpContext,
  options: MountCliOptions,
): Promise<MountedCli> {
  const { lists, store, servers = [], mountpoint, args = [] } = options;
  await mkdir(mountpoint, { recursive: true });
  unmountAfter(context, mountpoint);
  const process = await startPsync(
    ["mount", lists, mountpoint, ...servers.flatMap((url) => ["--server", url]), ...args],
    { store },
  );
  cleanUp(context, () => process.stop());
  return { folder: mountpoint, process };
}

/** Unmounts what psync has mounted on a path, when the test ends. */
export function unmountAfter(context: CleanUpContext, mountpoint: string): void {
  cleanUp(context, async () => {
    if (await findMount(mountpoint)) {
      await unmountPath(mountpoint, { lazy: true, clock: systemClock });
    }
  });
}

/** Runs a shell command. @returns what it printed @throws when its status is not 0 */
export async function shell(command: string, cwd: string): Promise<string> {
  const options = { cwd, maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)("bash", ["-c", command], options);
  return stdout;
}

/** Runs a shell command. @returns its status and all it printed, whatever the status */
export async function tryShell(
  command: string,
  cwd: string,
): Promise<{ readonly status: number; readonly output: string }> {
  const output = await shell(`(${command}) 2>&1; echo "status $?"`, cwd);
  const status = Number(/status (\d+)\n$/.exec(output)?.[1]);
  return { status, output };
}

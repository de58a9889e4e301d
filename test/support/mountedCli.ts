/** A mount made by the command line, as a user makes it: served by another process, so that any call on it is safe. */
import { execFile } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { systemClock } from "../../src/core/clock.js";
import { systemErrorCode } from "../../src/core/errors.js";
import { findMount } from "../../src/core/mountTable.js";
import { unmountPath } from "../../src/mount/unmount.js";
import { startFaultyServer } from "./faultyServer.js";
import { listOf } from "./lists.js";
import { tempFolder } from "./tempFolder.js";
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
  // What a killed psync left there is neither made nor looked at.
  await mkdir(mountpoint, { recursive: true }).catch((error: unknown) => {
    if (systemErrorCode(error) !== "ENOTCONN") throw error;
  });
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

/** Empty folders for lists, a store and a mountpoint, and blocks that a server of the test gives. */
export async function listsFixture(t: CleanUpContext) {
  const folder = await tempFolder(t);
  const lists = join(folder, "lists");
  const store = join(folder, "store");
  const mountpoint = join(folder, "mnt");
  await mkdir(lists);
  const blocks: VerifiedBlock[] = [];
  /** Puts a list into the folder, all at once; its blocks are for the server. */
  const add = async (name: string, bytes: Uint8Array, options: { plain?: boolean } = {}) => {
    const listed = await listOf(bytes, undefined, options);
    blocks.push(...listed.blocks.values());
    const path = join(lists, `${name}.hashlist`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(join(lists, "new"), listed.text);
    await rename(join(lists, "new"), path);
  };
  const serve = async (given: readonly VerifiedBlock[] = blocks, port = 0) => {
    const server = await startFaultyServer({ blocks: given, seed: 1, fault: "none", port });
    cleanUp(t, () => server.close());
    return server;
  };
  const mount = (servers: readonly string[], more: { args?: string[]; lists?: string } = {}) =>
    mountCli(t, { lists, store, mountpoint, servers, ...more });
  return { folder, lists, store, mountpoint, blocks, add, serve, mount };
}

/** Real mounts for tests: made under the temporary folder, and always unmounted. */
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { mkdtemp, realpath, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.js";
import { createLogger } from "../../src/core/log.js";
import { createFuseNativeDriver } from "../../src/mount/driver/fuseNative.js";
import type { DriverMount, FileSystem, MountOptions } from "../../src/mount/driver/port.js";
import { findMount } from "../../src/core/mountTable.js";
import { unmountPath } from "../../src/mount/unmount.js";

/** Why tests with a real mount are skipped, or false. In CI nothing is skipped: there it fails. */
export function skipReason(): string | false {
  if (process.env["CI"] === "true") return false;
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return "there is no /dev/fuse";
  }
}

export interface TestMount {
  readonly folder: string;
  readonly mount: DriverMount;
  /** What was logged at warn or above. */
  readonly logged: string[];
  readonly path: (name: string) => string;
}

/** Mounts, runs the test, and unmounts whatever came of it. */
export async function withMount(
  fileSystem: FileSystem,
  test: (mounted: TestMount) => Promise<void>,
  options: Partial<MountOptions> & { readonly openDeadlineMs?: number } = {},
): Promise<void> {
  const base =
    options.mountpoint ?? (await mkdtemp(join(await realpath(tmpdir()), "psync-driver-")));
  const logged: string[] = [];
  const log = createLogger((_level, message) => logged.push(message), "warn");
  const driver = createFuseNativeDriver({
    clock: systemClock,
    log,
    ...(options.openDeadlineMs === undefined ? {} : { openDeadlineMs: options.openDeadlineMs }),
  });
  try {
    const mount = await driver.mount(fileSystem, {
      mountpoint: base,
      sourceName: "test",
      allowOther: false,
      ...options,
    });
    try {
      await test({ folder: base, mount, logged, path: (name) => join(base, name) });
    } finally {
      await mount.unmount({ lazy: false }).catch(async () => {
        mount.stopServing();
        await mount.unmount({ lazy: true });
      });
    }
  } finally {
    if (await findMount(base)) await unmountPath(base, { clock: systemClock, lazy: true });
    if (options.mountpoint === undefined) await rmdir(base);
  }
}

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in a process of its own, where calls on the mount may wait for this one. */
export function run(program: string, ...args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    execFile(program, [...args], { timeout: 30_000, encoding: "utf8" }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === "number" ? error.code : -1) : 0;
      resolve({ code, stdout, stderr });
    });
  });
}

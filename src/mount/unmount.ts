/**
 * Unmounting psync's own mounts, and no other. Nothing here runs a shell or makes a synchronous file call on a mount:
 * the mount may be served by this very process.
 */
import { execFile } from "node:child_process";
import { statfs } from "node:fs/promises";
import { withDeadline } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { PsyncError, systemErrorCode } from "../core/errors.js";
import { findMount, isPsyncMount, type MountEntry } from "../core/mountTable.js";
import { findHolders, type MountHolder } from "./mountHolders.js";

export interface UnmountOptions {
  readonly clock: Clock;
  /** Take it out of the tree at once, also when files are open in it. */
  readonly lazy: boolean;
}

/** A kernel that has let go shows it at once; this bounds a machine under load. */
const GONE_TIMEOUT_MS = 5_000;
const GONE_CHECK_MS = 20;
const COMMAND_TIMEOUT_MS = 10_000;
const HOLDERS_TIMEOUT_MS = 1_000;
/** How long a mount that is asked whether it lives may take to answer. */
const ANSWER_TIMEOUT_MS = 2_000;

/**
 * Unmounts what psync mounted on a path, and returns when the kernel's table does not have it any more.
 * Where nothing is mounted it does nothing.
 *
 * @param mountpoint an absolute path without symlinks
 * @throws ERR_PSYNC_MOUNT it is busy (`details` name who holds it), not psync's, or the unmounting program failed
 */
export async function unmountPath(mountpoint: string, options: UnmountOptions): Promise<void> {
  const entry = await findMount(mountpoint);
  if (!entry) return;
  if (!isPsyncMount(entry)) {
    throw new PsyncError("ERR_PSYNC_MOUNT", `${mountpoint} is not a mount of psync: ${entry.type}`);
  }
  const failure = await runUnmount(mountpoint, options.lazy);
  if (failure !== undefined && (await isThere(entry)))
    throw await explainFailure(entry, failure, options.clock);
  await untilGone(entry, options.clock);
}

/**
 * Clears a mountpoint that a killed psync left behind. Mounts of others are never touched.
 *
 * @returns whether there was a dead mount
 * @throws ERR_PSYNC_MOUNT a psync that lives is mounted there, or the dead mount cannot be unmounted
 */
export async function clearDeadMount(
  mountpoint: string,
  { clock }: { readonly clock: Clock },
): Promise<boolean> {
  const entry = await findMount(mountpoint);
  if (!entry || !isPsyncMount(entry)) return false;
  const state = await askMount(mountpoint, clock);
  if (state === "alive") {
    throw new PsyncError("ERR_PSYNC_MOUNT", `${mountpoint} is already mounted`, {
      hint: `psync umount ${JSON.stringify(mountpoint)}`,
    });
  }
  if (state === "silent") {
    throw new PsyncError(
      "ERR_PSYNC_MOUNT",
      `the psync that is mounted on ${mountpoint} does not answer`,
      {
        hint: `look for its process; as root, umount -f ${JSON.stringify(mountpoint)} ends it`,
      },
    );
  }
  // What still holds a dead mount gets errors anyway.
  await unmountPath(mountpoint, { clock, lazy: true });
  return true;
}

/** Whether somebody serves the mount. `statfs` is never answered from the kernel's caches. */
async function askMount(mountpoint: string, clock: Clock): Promise<"alive" | "dead" | "silent"> {
  let cancel = (): void => undefined;
  const silence = new Promise<"silent">((resolve) => {
    cancel = clock.after(ANSWER_TIMEOUT_MS, () => {
      resolve("silent");
    });
  });
  const answer = statfs(mountpoint).then(
    () => "alive" as const,
    // EACCES: somebody else's mount, and the kernel says no without asking it.
    (error: unknown) => (systemErrorCode(error) === "ENOTCONN" ? "dead" : "alive"),
  );
  try {
    return await Promise.race([answer, silence]);
  } finally {
    cancel();
  }
}

/** @returns why it failed, in the program's own words */
async function runUnmount(mountpoint: string, lazy: boolean): Promise<string | undefined> {
  const flags = lazy ? ["-u", "-z"] : ["-u"];
  for (const program of ["fusermount3", "fusermount"]) {
    const result = await run(program, [...flags, "--", mountpoint]);
    if (result === ABSENT) continue;
    return result;
  }
  if (process.getuid?.() === 0) {
    const result = await run("umount", [...(lazy ? ["-l"] : []), "--", mountpoint]);
    if (result !== ABSENT) return result;
  }
  return "neither fusermount3 nor fusermount is installed";
}

/** What {@link run} says of a program that is not installed; no program prints it. */
const ABSENT = "\0absent";

/** @returns undefined when it succeeded, else what it printed */
function run(program: string, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: COMMAND_TIMEOUT_MS, encoding: "utf8" } as const;
    execFile(program, [...args], options, (error, _stdout, stderr) => {
      if (!error) resolve(undefined);
      else if (error.code === "ENOENT") resolve(ABSENT);
      else resolve(stderr.trim() || error.message);
    });
  });
}

async function isThere(entry: MountEntry): Promise<boolean> {
  return (await findMount(entry.mountpoint))?.mountId === entry.mountId;
}

async function untilGone(entry: MountEntry, clock: Clock): Promise<void> {
  const untilMs = clock.nowMs() + GONE_TIMEOUT_MS;
  while (await isThere(entry)) {
    if (clock.nowMs() > untilMs) {
      throw new PsyncError("ERR_PSYNC_MOUNT", `${entry.mountpoint} is still mounted`);
    }
    await new Promise<void>((resolve) => clock.after(GONE_CHECK_MS, resolve));
  }
}

async function explainFailure(
  entry: MountEntry,
  failure: string,
  clock: Clock,
): Promise<PsyncError> {
  const holders = await holdersInTime(entry, clock);
  if (holders.length === 0) {
    return new PsyncError("ERR_PSYNC_MOUNT", `${entry.mountpoint} cannot be unmounted: ${failure}`);
  }
  return new PsyncError("ERR_PSYNC_MOUNT", `${entry.mountpoint} is in use`, {
    hint: "end these processes, or add --lazy: it leaves the tree at once, and open files stay readable",
    details: holders.map(({ pid, command, how }) => `${command} (${pid}): ${how}`),
  });
}

/** One that begins to hang while it is looked at is not waited for. */
function holdersInTime(entry: MountEntry, clock: Clock): Promise<readonly MountHolder[]> {
  const onDeadline = (): Error => new Error("a process does not say what it holds");
  return withDeadline({ clock, timeoutMs: HOLDERS_TIMEOUT_MS, onDeadline }, () =>
    findHolders(entry),
  ).catch(() => []);
}

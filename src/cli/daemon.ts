/**
 * A mount in the background: the command starts itself again without a terminal, waits until that
 * mount answers, and only then returns. Parent and child talk over the channel that Node gives them.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { stat } from "node:fs/promises";
import { withDeadline } from "../core/abort.js";
import { systemClock } from "../core/clock.js";
import { errorMessage, PsyncError, type ErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { openLogFile } from "./logFile.js";
import type { CommandContext } from "./run.js";

/** Set for the child, so that it mounts instead of starting a child of its own. */
const CHILD_MARK = "PSYNC_DAEMON_CHILD";

type DaemonReport =
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "ready"; readonly mountpoint: string }
  | {
      readonly type: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      readonly hint: string | undefined;
      readonly details: readonly string[];
    };

export interface StartedDaemon {
  readonly pid: number;
  readonly mountpoint: string;
}

export function isDaemonChild(): boolean {
  return process.env[CHILD_MARK] !== undefined && process.send !== undefined;
}

/**
 * Starts this same command line in the background, and returns when its mount answers a `stat`. What it warns of until
 * then goes to the log here too, since nobody reads its own without a reason.
 *
 * @throws what made the daemon fail; ERR_PSYNC_MOUNT where it ended or hung without saying why
 */
export async function startDaemon(
  logPath: string,
  { log, signal }: Pick<CommandContext, "log" | "signal">,
): Promise<StartedDaemon> {
  // What libfuse or Node itself say on stderr belongs into the log too.
  const logFile = await openLogFile(logPath);
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ["ignore", logFile, logFile, "ipc"],
    env: { ...process.env, [CHILD_MARK]: "1" },
  });
  closeSync(logFile);
  const reported = new Promise<Exclude<DaemonReport, { readonly type: "warning" }>>(
    (resolve, reject) => {
      child.once("error", reject);
      child.on("message", (message) => {
        const report = message as DaemonReport;
        if (report.type === "warning") log.warn(report.message);
        else resolve(report);
      });
      child.once("exit", (status, signalName) => {
        const how = signalName ?? `status ${status ?? "?"}`;
        reject(new PsyncError("ERR_PSYNC_MOUNT", `the daemon ended (${how}) before it was ready`));
      });
    },
  );
  reported.catch(() => undefined);
  // The child's own bounds end first; this one is for a child that hangs.
  const timeoutMs = 3 * LIMITS.mount.readyTimeoutMs;
  const onDeadline = (): PsyncError =>
    new PsyncError("ERR_PSYNC_MOUNT", `the daemon was not ready within ${timeoutMs / 1000} s`);
  try {
    return await withDeadline({ clock: systemClock, timeoutMs, signal, onDeadline }, async () => {
      const report = await reported;
      if (report.type === "failed") {
        const { code, message, details, hint } = report;
        const told = [...details, `its log: ${logPath}`];
        throw new PsyncError(code, message, { details: told, ...(hint && { hint }) });
      }
      await stat(report.mountpoint);
      return { pid: child.pid ?? 0, mountpoint: report.mountpoint };
    });
  } catch (error) {
    await endChild(child);
    throw error;
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}

/** Asks the child to unmount and end, and waits for it: afterwards the mountpoint is as it was. */
async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const cancel = systemClock.after(2 * LIMITS.mount.readyTimeoutMs, () => child.kill("SIGKILL"));
  await ended;
  cancel();
}

/** The log, whose warnings the parent gets too, for as long as it waits. */
export function reportingWarnings(log: Logger): Logger {
  return {
    ...log,
    warn(message) {
      log.warn(message);
      send({ type: "warning", message });
    },
  };
}

/** Tells the parent that the mount answers, and lets go of it and of the folder it was started in. */
export function reportReady(mountpoint: string): void {
  process.chdir("/");
  report({ type: "ready", mountpoint });
}

/** Tells the parent why there is no mount. */
export function reportFailure(error: unknown): void {
  const known = error instanceof PsyncError ? error : undefined;
  report({
    type: "failed",
    code: known?.code ?? "ERR_PSYNC_MOUNT",
    message: errorMessage(error),
    hint: known?.hint,
    details: known?.details ?? [],
  });
}

/** The last that the parent hears. */
function report(message: DaemonReport): void {
  send(message, () => {
    if (process.connected) process.disconnect();
  });
}

function send(message: DaemonReport, onSent: () => void = () => undefined): void {
  if (process.connected) process.send?.(message, onSent);
}

/** Talks to the process that renames names of our own mount; started when it is first needed. */
import { type ChildProcess, spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../core/clock.js";
import { LIMITS } from "../../core/limits.js";
import { deviceFds } from "./deviceFds.js";
import type { RenameReply, RenameRequest } from "./renameProcess.js";

export interface Renamer {
  /**
   * One step at a time; the caller waits for each.
   *
   * @throws Error with the failed system call's message, or that the process cannot be started or did not answer in time
   */
  send(request: RenameRequest): Promise<void>;
  close(): void;
}

/** A rename waits for calls that came in while it was on its way; each of them ends within a stat's deadline. */
const STEP_TIMEOUT_MS = LIMITS.read.statDeadlineMs + 5_000;

export interface RenamerParts {
  readonly clock: Clock;
  /** What runs the script: this very node, unless a test says otherwise. */
  readonly program?: string;
}

export function createRenamer({ clock, program = process.execPath }: RenamerParts): Renamer {
  let child: ChildProcess | undefined;

  return {
    async send(request) {
      if (child?.connected !== true) child = await startProcess(program);
      await ask(child, request, clock);
    },
    close() {
      // Without its channel it ends.
      if (child?.connected === true) child.disconnect();
      child = undefined;
    },
  };
}

function ask(child: ChildProcess, request: RenameRequest, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(STEP_TIMEOUT_MS, () => {
      child.kill("SIGKILL");
      settle(new Error(`no answer within ${STEP_TIMEOUT_MS} ms`));
    });
    const settle = (error: Error | undefined): void => {
      cancel();
      child.off("message", onMessage);
      child.off("error", settle);
      child.off("disconnect", onDisconnect);
      child.channel?.unref();
      if (error) reject(error);
      else resolve();
    };
    const onMessage = (message: unknown): void => {
      const { error } = message as RenameReply;
      settle(error === undefined ? undefined : new Error(error));
    };
    const onDisconnect = (): void => {
      settle(new Error("the renaming process ended"));
    };
    child.on("message", onMessage);
    child.on("error", settle);
    child.on("disconnect", onDisconnect);
    child.channel?.ref();
    child.send(request, (error) => {
      if (error) settle(error);
    });
  });
}

/**
 * libfuse's descriptor of /dev/fuse would be passed on, and a process that has it keeps the mount alive when this one
 * is killed: then its own call on the mount would wait for ever. So it gets /dev/null in that place.
 */
async function startProcess(program: string): Promise<ChildProcess> {
  const script = fileURLToPath(new URL("./renameProcess.js", import.meta.url));
  const nothing = await open("/dev/null", "r");
  try {
    // Nothing may happen between these two: the next mount of this process would be missed.
    const child = spawn(program, ["--max-old-space-size=16", script], {
      stdio: stdioWithout(await deviceFds(), nothing),
      cwd: "/",
    });
    // For as long as it lives: an 'error' that nobody hears would end this process, and every mount in it.
    child.on("error", () => undefined);
    child.unref();
    await once(child, "spawn");
    return child;
  } finally {
    await nothing.close();
  }
}

function stdioWithout(devices: readonly number[], nothing: FileHandle): StdioOptions {
  const count = Math.max(3, ...devices.map((fd) => fd + 1));
  const inherited = Array.from({ length: count }, (_, fd) =>
    devices.includes(fd) ? nothing.fd : ("ignore" as const),
  );
  return [...inherited, "ipc"];
}

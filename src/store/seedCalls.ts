/**
 * Calls on the file systems that seeds lie on. One that hangs, since its server is away or its program was stopped,
 * keeps a thread for each call, and libuv has four for all files of the process. So one call is made at a time; one that
 * is late gives up its turn, and its file system is not asked until it has returned.
 */
import type { BigIntStats } from "node:fs";
import { lstat } from "node:fs/promises";
import { orAbort, withDeadline } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { isPsyncMount, mountAbove, readMountTable, type MountEntry } from "../core/mountTable.js";
import { createSemaphore } from "../core/semaphore.js";
import { createTrouble } from "../core/trouble.js";

/** The file system of a seed does not answer, or too many of others do not. */
export class NoAnswerError extends Error {}

export interface SeedCalls {
  /**
   * Makes a call on the file system of a path, when it is its turn.
   *
   * @throws NoAnswerError; ERR_PSYNC_USAGE it is a mount of psync, which would wait for itself; the signal's reason;
   *   what the call throws
   */
  run<T>(path: string, call: () => Promise<T>): Promise<T>;
  lstat(path: string): Promise<BigIntStats>;
  /** Makes a call that nobody waits for, such as a close, once the file system answers. It may be made twice. */
  behind(path: string, call: () => Promise<void>): void;
  /** The same calls for one who may have to stop: he waits no longer than until the signal. */
  until(signal: AbortSignal): SeedCalls;
}

export interface SeedCallsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly readTable?: () => Promise<readonly MountEntry[]>;
}

const NEVER = new AbortController().signal;

export function createSeedCalls(options: SeedCallsOptions): SeedCalls {
  const { clock, log, readTable = readMountTable } = options;
  const { callTimeoutMs, hangingCalls, mountTableMs } = LIMITS.seeds;
  const turns = createSemaphore(1);
  /** Calls that are late, by the mountpoint that does not answer. They settle when they have returned. */
  const hanging = new Map<string, Promise<void>>();
  const trouble = createTrouble({
    clock,
    log,
    failing: "seeds are not read",
    over: "seeds are read again",
    counted: ["call", "calls"],
  });
  let table: Promise<readonly MountEntry[]> | undefined;
  let tableEndMs = 0;

  const mountOf = async (path: string): Promise<MountEntry | undefined> => {
    if (!table || clock.nowMs() >= tableEndMs) {
      tableEndMs = clock.nowMs() + mountTableMs;
      // Without it all are taken for one file system.
      table = readTable().catch(() => []);
    }
    return mountAbove(await table, path);
  };

  const hang = (mountpoint: string, call: Promise<unknown>): void => {
    const returned = call
      .then(
        () => undefined,
        () => undefined,
      )
      .then(() => {
        hanging.delete(mountpoint);
        trouble.worked();
      });
    hanging.set(mountpoint, returned);
  };

  const make = async <T>(path: string, call: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    const mount = await mountOf(path);
    const mountpoint = mount?.mountpoint ?? "/";
    if (mount && isPsyncMount(mount)) {
      throw new PsyncError("ERR_PSYNC_USAGE", `${mountpoint} is a mount of psync`);
    }
    const leave = await turns.acquire(1, { signal });
    try {
      const isHanging = hanging.has(mountpoint) || hanging.size >= hangingCalls;
      if (isHanging) throw new NoAnswerError(`${mountpoint} has not answered yet`);
      const made = call();
      const onDeadline = (): Error => {
        const error = new NoAnswerError(`${mountpoint} does not answer`);
        hang(mountpoint, made);
        trouble.failed(error);
        return error;
      };
      return await withDeadline(
        { clock, timeoutMs: callTimeoutMs, signal, onDeadline },
        () => made,
      );
    } finally {
      leave();
    }
  };

  const makeBehind = async (
    path: string,
    call: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> => {
    for (;;) {
      try {
        await make(path, call, signal);
        return;
      } catch (error) {
        if (!(error instanceof NoAnswerError)) {
          // Nobody is left to take turns with, unless the process would wait for it.
          if (signal.aborted && hanging.size === 0) await call();
          return;
        }
        await orAbort(Promise.race(hanging.values()), signal);
      }
    }
  };

  const until = (signal: AbortSignal): SeedCalls => ({
    run: (path, call) => make(path, call, signal),
    lstat: (path) => make(path, () => lstat(path, { bigint: true }), signal),
    behind(path, call) {
      makeBehind(path, call, signal).catch(() => undefined);
    },
    until,
  });
  return until(NEVER);
}

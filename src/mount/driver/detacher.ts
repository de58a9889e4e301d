/**
 * Takes the kernel's node of a changed file off the file's path, so that the next lookup makes a new one.
 *
 * It renames the path to a hidden one in the same folder, through the mount itself; the mount's rename handler lets
 * exactly that rename through. Files that are open on the old node stay on it, with its size and its cached pages.
 *
 * What may wait for what: libfuse renames a node only when no call on it is under way, and the kernel has the folder
 * locked meanwhile. So the rename is sent only when no call on the node waits for data; who wants it waits for such a
 * moment here, where it holds up nobody else. So that constant readers leave one, answers that are ready are held for
 * a moment, and let go when the rename stands in libfuse's row.
 *
 * An open never waits for the rename, only for its beginning. It is then answered ESTALE; the kernel looks the path up
 * again, and that lookup is held until the rename is over, or for `maxHoldMs`. The name was looked up just before, so
 * the hold ends before the kernel has to look it up for the rename itself: nothing can wait in a circle.
 */
import { join } from "node:path";
import type { Clock } from "../../core/clock.js";
import { errorMessage, isPsyncError, PsyncError } from "../../core/errors.js";
import type { Logger } from "../../core/log.js";
import { type FileNodes, hiddenPathFor } from "./fileNodes.js";
import type { Renamer } from "./renamer.js";

export interface Detacher {
  /**
   * Starts to detach the node that a path leads to; where that is under way already, it is not started again.
   *
   * @param waitMs how long to wait for a moment in which no call on the node waits for data
   * @returns settles when opens may be answered ESTALE
   * @throws ERR_PSYNC_DEADLINE there was no such moment; Error the node cannot be detached
   */
  begin(path: string, waitMs: number): Promise<void>;
  /** Whether the node's path is being given to a new node. */
  isRenaming(path: string): boolean;
  /** The hidden path that the path's old node is being moved to. */
  renamingTo(path: string): string | undefined;
  /** Waits until the path's rename is over, a bounded time; at once when there is none. */
  hold(path: string): Promise<void>;
  /** The rename handler's question; when it is so, the node is detached by the time this returns. */
  allowRename(from: string, to: string): boolean;
  /** Ends when nothing is being renamed; who waits for a quiet moment is not waited for. */
  idle(): Promise<void>;
}

export interface DetacherParts {
  readonly nodes: FileNodes;
  readonly renamer: Renamer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly mount: { readonly mountpoint: string; readonly device: number };
  /** Less than the kernel believes names. */
  readonly maxHoldMs: number;
}

interface Renaming {
  readonly from: string;
  readonly to: string;
  readonly over: Promise<void>;
}

interface Attempt {
  readonly path: string;
  /** The latest of those who wait for it. */
  endMs: number;
  readonly announced: Promise<void>;
}

const CHECK_MS = 5;
/** Waiting for a quiet moment: first as the calls come, then with answers held back, and so on in turn. */
const REST_MS = 150;
const HOLD_MS = 150;
/** What began while the rename was prepared may end within this; else it is given up, and waited for again. */
const SETTLE_MS = 50;
/** From the sending of the rename until it surely stands in libfuse's row. */
const ANSWER_LAG_MS = 10;

export function createDetacher(parts: DetacherParts): Detacher {
  const { nodes, renamer, clock, log, mount } = parts;
  const attempts = new Map<string, Attempt>();
  let renaming: Renaming | undefined;
  let queue: Promise<void> = Promise.resolve();
  let serial = 0;

  const isBusy = (path: string): boolean => (nodes.current(path)?.callsPending ?? 0) > 0;

  /** Ends early when the node is quiet. */
  const whileBusy = async (path: string, endMs: number): Promise<void> => {
    while (isBusy(path) && clock.nowMs() < endMs) {
      await new Promise<void>((resolve) => clock.after(CHECK_MS, resolve));
    }
  };

  /** @returns what ends the holding; it ends by itself too */
  const holdAnswers = (path: string): (() => void) => {
    const node = nodes.current(path);
    if (node === undefined) return () => undefined;
    let end = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      end = resolve;
    });
    const cancel = clock.after(2 * HOLD_MS, () => {
      letGo();
    });
    const letGo = (): void => {
      cancel();
      if (node.answersHeld === held) node.answersHeld = undefined;
      end();
    };
    node.answersHeld = held;
    return letGo;
  };

  const checkTime = ({ endMs }: Attempt): void => {
    if (clock.nowMs() < endMs) return;
    throw new PsyncError("ERR_PSYNC_DEADLINE", "reads of the old version did not end in time");
  };

  /** Waits until the node is quiet, from then on with answers held. */
  const untilQuiet = async (attempt: Attempt): Promise<() => void> => {
    for (;;) {
      await whileBusy(attempt.path, Math.min(attempt.endMs, clock.nowMs() + REST_MS));
      const letGo = holdAnswers(attempt.path);
      await whileBusy(attempt.path, Math.min(attempt.endMs, clock.nowMs() + HOLD_MS));
      if (!isBusy(attempt.path)) return letGo;
      letGo();
      checkTime(attempt);
    }
  };

  /** @returns false where a call came in between that waits for data; nothing was renamed then */
  const rename = async (from: string, announce: () => void): Promise<boolean> => {
    serial += 1;
    const to = hiddenPathFor(from, serial);
    const slash = from.lastIndexOf("/");
    const name = from.slice(slash + 1);
    const folder = join(mount.mountpoint, from.slice(0, slash));
    await renamer.send({ step: "prepare", folder, name, device: mount.device });
    await whileBusy(from, clock.nowMs() + SETTLE_MS);
    if (isBusy(from)) {
      await renamer.send({ step: "cancel" });
      return false;
    }
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    renaming = { from, to, over };
    announce();
    try {
      await renamer.send({ step: "rename", name, hiddenName: to.slice(slash + 1) });
    } finally {
      renaming = undefined;
      end();
    }
    return true;
  };

  const run = async (attempt: Attempt, announce: () => void): Promise<void> => {
    for (;;) {
      const letGo = await untilQuiet(attempt);
      const moved = queue.then(() =>
        rename(attempt.path, () => {
          announce();
          clock.after(ANSWER_LAG_MS, letGo);
        }),
      );
      const ended = (): void => {
        letGo();
      };
      queue = moved.then(ended, ended);
      if (await moved) return;
      checkTime(attempt);
    }
  };

  return {
    begin(path, waitMs) {
      const endMs = clock.nowMs() + waitMs;
      const known = attempts.get(path);
      if (known) {
        known.endMs = Math.max(known.endMs, endMs);
        return known.announced;
      }
      let isAnnounced = false;
      let announce = (): void => undefined;
      let refuse: (error: Error) => void = () => undefined;
      const announced = new Promise<void>((resolve, reject) => {
        announce = () => {
          isAnnounced = true;
          resolve();
        };
        refuse = reject;
      });
      const attempt: Attempt = { path, endMs, announced };
      attempts.set(path, attempt);
      void run(attempt, announce)
        .catch((error: unknown) => {
          const message = `${path}: its old version could not be detached: ${errorMessage(error)}`;
          // Where it was announced, those who waited have their answer.
          if (isAnnounced) log.warn(message);
          else if (isPsyncError(error)) refuse(error);
          else refuse(new Error(message, { cause: error }));
        })
        .finally(() => attempts.delete(path));
      return announced;
    },
    isRenaming: (path) => renaming?.from === path,
    renamingTo: (path) => (renaming?.from === path ? renaming.to : undefined),
    async hold(path) {
      if (renaming?.from !== path) return;
      let cancel = (): void => undefined;
      const waited = new Promise<void>((resolve) => {
        cancel = clock.after(parts.maxHoldMs, resolve);
      });
      await Promise.race([renaming.over, waited]);
      cancel();
    },
    allowRename(from, to) {
      if (renaming?.from !== from || renaming.to !== to) return false;
      nodes.detach(from, to);
      return true;
    },
    idle: () => queue,
  };
}

/**
 * Takes the kernel's node of a changed file off the file's path, so that the next lookup makes a new one.
 *
 * It renames the path to a hidden one in the same folder, through the mount itself; the mount's rename handler lets
 * exactly that rename through. Files that are open on the old node stay on it, with its size and its cached pages.
 *
 * What may wait for what: libfuse renames a node only when no call on it is under way, so an open never waits for the
 * rename, only for its beginning. It is then answered ESTALE; the kernel looks the path up again, and that lookup is
 * held until the rename is over, or for `maxHoldMs`. The name was looked up just before, so the hold ends before the
 * kernel has to look it up for the rename itself, with the folder locked: nothing can wait in a circle.
 */
import { join } from "node:path";
import type { Clock } from "../../core/clock.js";
import { errorMessage } from "../../core/errors.js";
import type { Logger } from "../../core/log.js";
import { type FileNodes, hiddenPathFor } from "./fileNodes.js";
import type { Renamer } from "./renamer.js";

export interface Detacher {
  /**
   * Starts to detach the node that a path leads to; where that is under way already, it is not started again.
   *
   * @returns settles when opens may be answered ESTALE
   * @throws Error the node cannot be detached
   */
  begin(path: string): Promise<void>;
  /** Whether the node's path is being given to a new node. */
  isRenaming(path: string): boolean;
  /** The hidden path that the path's old node is being moved to. */
  renamingTo(path: string): string | undefined;
  /** Waits until the path's rename is over, a bounded time; at once when there is none. */
  hold(path: string): Promise<void>;
  /** The rename handler's question; when it is so, the node is detached by the time this returns. */
  allowRename(from: string, to: string): boolean;
  /** Ends when nothing is being detached. */
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
  /** How long to wait for a moment without reads; then the rename waits in libfuse, and new reads behind it. */
  readonly maxQuietWaitMs: number;
}

interface Renaming {
  readonly from: string;
  readonly to: string;
  readonly over: Promise<void>;
}

const QUIET_CHECK_MS = 5;

export function createDetacher(parts: DetacherParts): Detacher {
  const { nodes, renamer, clock, log, mount } = parts;
  const begun = new Map<string, Promise<void>>();
  let renaming: Renaming | undefined;
  let queue: Promise<void> = Promise.resolve();
  let serial = 0;

  const quiet = async (path: string): Promise<void> => {
    const untilMs = clock.nowMs() + parts.maxQuietWaitMs;
    while ((nodes.current(path)?.readsPending ?? 0) > 0 && clock.nowMs() < untilMs) {
      await new Promise<void>((resolve) => clock.after(QUIET_CHECK_MS, resolve));
    }
  };

  const run = async (from: string, announce: () => void): Promise<void> => {
    await quiet(from);
    serial += 1;
    const to = hiddenPathFor(from, serial);
    const slash = from.lastIndexOf("/");
    const name = from.slice(slash + 1);
    const folder = join(mount.mountpoint, from.slice(0, slash));
    await renamer.send({ step: "prepare", folder, name, device: mount.device });
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
  };

  return {
    begin(path) {
      const known = begun.get(path);
      if (known) return known;
      const announced = new Promise<void>((resolve, reject) => {
        queue = queue.then(async () => {
          try {
            await run(path, resolve);
          } catch (error) {
            log.warn(`${path}: its old version could not be detached: ${errorMessage(error)}`);
            // Without effect where it was announced: then the opens have their answer.
            reject(new Error("the old version could not be detached", { cause: error }));
          } finally {
            begun.delete(path);
          }
        });
      });
      begun.set(path, announced);
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

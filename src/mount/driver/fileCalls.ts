/**
 * The calls that depend on a file's version: attributes, open, read, release.
 * Promises: an open file keeps the bytes and the size it was opened with; a new open shows what the list says now.
 */
import { withDeadline } from "../../core/abort.js";
import type { Clock } from "../../core/clock.js";
import { errorMessage, isPsyncError, PsyncError } from "../../core/errors.js";
import { LIMITS } from "../../core/limits.js";
import type { Logger } from "../../core/log.js";
import type { Detacher } from "./detacher.js";
import { isHiddenPath, type FileNode, type FileNodes } from "./fileNodes.js";
import type { Attributes, FileSystem } from "./port.js";

export interface FileCalls {
  attributes(path: string, signal: AbortSignal): Promise<Attributes> | Attributes;
  /** @returns the driver's own handle, 1..2^31−1 */
  open(path: string, signal: AbortSignal): Promise<number>;
  /** @throws Error more bytes than asked for came from the file system */
  read(
    handle: number,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>;
  /** A handle that is not open is left alone. */
  release(handle: number): void;
  /** Detaches nodes whose path shows something else by now. Never rejects. */
  checkOpenFiles(signal: AbortSignal): Promise<void>;
  releaseAll(): void;
  readonly openCount: number;
}

export interface FileCallsParts {
  readonly fileSystem: FileSystem;
  readonly nodes: FileNodes;
  readonly detacher: Detacher;
  readonly clock: Clock;
  readonly log: Logger;
  /** For the whole of an open, with the wait for the old version's reads. */
  readonly openDeadlineMs: number;
}

interface OpenFile {
  /** The file system's handle. */
  readonly inner: number;
  readonly node: FileNode;
}

/** libfuse keeps 64 bits, fuse-native passes 32 of them with a sign. */
const MAX_HANDLE = 2 ** 31 - 1;
/** One list that is slow to look at does not hold up the others. */
const CHECKS_AT_ONCE = 8;
/** Nodes that could not be detached are put last; after so many the others wait for the next round. */
const MAX_KEPT_A_ROUND = 100;
/** A file whose reads leave no quiet moment within this is looked at again in the next round. */
const CHECK_WAIT_MS = LIMITS.mount.attributesValidMs / 2;
/**
 * A read that came in just when the rename was on its way keeps the folder locked until it is answered. The kernel
 * asks again after a failed read-ahead, and waits behind the rename then.
 */
const READ_IN_RENAME_MS = 5_000;

export function createFileCalls(parts: FileCallsParts): FileCalls {
  const { fileSystem, nodes, detacher, clock, log, openDeadlineMs } = parts;
  const open = new Map<number, OpenFile>();
  let lastHandle = 0;

  const nextHandle = (): number => {
    do lastHandle = lastHandle >= MAX_HANDLE ? 1 : lastHandle + 1;
    while (open.has(lastHandle));
    return lastHandle;
  };

  /** What the kernel must be told of a node as long as a file is open on it. */
  const pinned = (path: string): Attributes | undefined => {
    // Between the rename's answer and libfuse's move the path still leads to the old node.
    const moving = detacher.renamingTo(path);
    const node =
      nodes.detached(path) ??
      nodes.current(path) ??
      (moving === undefined ? undefined : nodes.detached(moving));
    const [handle] = node?.handles ?? [];
    return handle === undefined ? undefined : fileSystem.openAttributes(handle);
  };

  const fresh = async (path: string, signal: AbortSignal): Promise<Attributes> => {
    if (detacher.isRenaming(path)) await detacher.hold(path);
    const before = pinned(path);
    if (before) return before;
    if (isHiddenPath(path)) throw new PsyncError("ERR_PSYNC_NO_ENTRY", "not a file of the mount");
    const attributes = await counted(nodes.current(path), () =>
      fileSystem.attributes(path, signal),
    );
    // It may have been opened while the answer was on its way.
    const now = pinned(path);
    if (now) return now;
    if (attributes.kind === "file") nodes.noteShown(path, attributes);
    return attributes;
  };

  const stale = (): PsyncError =>
    new PsyncError("ERR_PSYNC_STALE", "the file has changed; the kernel looks it up again");

  /** Registers an opened file, or throws ERR_PSYNC_STALE once its old node is on its way out. */
  const place = async (
    path: string,
    opened: { readonly handle: number; readonly version: string },
  ): Promise<FileNode> => {
    if (detacher.isRenaming(path)) throw stale();
    const node = nodes.current(path);
    const told = nodes.wasShownOtherwise(path, fileSystem.openAttributes(opened.handle));
    if (node?.version === opened.version && !told) return nodes.addHandle(path, opened);
    if (node === undefined && !told) return nodes.addHandle(path, opened);
    try {
      await detacher.begin(path, openDeadlineMs);
    } catch (error) {
      log.warn(`cannot open ${path}: ${errorMessage(error)}`);
      throw error;
    }
    throw stale();
  };

  const hasChanged = async (node: FileNode, signal: AbortSignal): Promise<boolean> => {
    const [handle] = node.handles;
    if (handle === undefined) return false;
    try {
      const now = await fileSystem.attributes(node.path, signal);
      if (!node.handles.has(handle)) return false;
      return !sameAttributes(now, fileSystem.openAttributes(handle));
    } catch (error) {
      // Gone, or a folder above it. Any other error may pass.
      return isPsyncError(error, "ERR_PSYNC_NO_ENTRY") && !signal.aborted;
    }
  };

  /** A version is forgotten only together with its node; else pages of it could be taken for another's. */
  const forgetSurplus = async (signal: AbortSignal): Promise<void> => {
    for (let kept = 0; kept < MAX_KEPT_A_ROUND && !signal.aborted;) {
      const node = nodes.surplus();
      if (!node) return;
      try {
        await detacher.begin(node.path, 0);
        await detacher.idle();
      } catch (error) {
        log.debug(errorMessage(error));
        if (kernelFoundNothing(error) && (await isGone(node, signal))) nodes.forget(node);
      }
      if (nodes.current(node.path) !== node) continue;
      kept += 1;
      nodes.postpone(node);
    }
  };

  /** Whether the file is gone and nobody has it open: with that the kernel has no node of it any more. */
  const isGone = async (node: FileNode, signal: AbortSignal): Promise<boolean> => {
    try {
      await fileSystem.attributes(node.path, signal);
      return false;
    } catch (error) {
      return isPsyncError(error, "ERR_PSYNC_NO_ENTRY") && node.handles.size === 0;
    }
  };

  const release = (handle: number): void => {
    const file = open.get(handle);
    if (!file) return;
    open.delete(handle);
    nodes.removeHandle(file.node, file.inner);
    fileSystem.release(file.inner);
  };

  return {
    attributes: (path, signal) =>
      detacher.isRenaming(path) ? fresh(path, signal) : (pinned(path) ?? fresh(path, signal)),

    open: (path, signal) =>
      withDeadline(
        { clock, timeoutMs: openDeadlineMs, signal, onDeadline: openDeadline },
        async (bounded) => {
          if (isHiddenPath(path) || detacher.isRenaming(path)) throw stale();
          const opened = await counted(nodes.current(path), () => fileSystem.open(path, bounded));
          try {
            // An open that was given up has nobody who would release it.
            bounded.throwIfAborted();
            const node = await place(path, opened);
            const handle = nextHandle();
            open.set(handle, { inner: opened.handle, node });
            return handle;
          } catch (error) {
            fileSystem.release(opened.handle);
            throw error;
          }
        },
      ),

    async read(handle, range, signal) {
      const file = open.get(handle);
      if (!file) throw new PsyncError("ERR_PSYNC_BAD_HANDLE", "the file is not open");
      const { node, inner } = file;
      const read = (bounded: AbortSignal) => fileSystem.read(inner, range, bounded);
      const options = { clock, timeoutMs: READ_IN_RENAME_MS, signal, onDeadline: readDeadline };
      const pieces = await counted(node, () =>
        detacher.isRenaming(node.path) ? withDeadline(options, read) : read(signal),
      );
      if (node.answersHeld) await node.answersHeld;
      return pieces;
    },

    async checkOpenFiles(signal) {
      const waiting = nodes.openNodes();
      const check = async (): Promise<void> => {
        for (let node = waiting.pop(); node && !signal.aborted; node = waiting.pop()) {
          if (!(await hasChanged(node, signal))) continue;
          // The next round tries again.
          await detacher.begin(node.path, CHECK_WAIT_MS).catch((error: unknown) => {
            if (!isPsyncError(error, "ERR_PSYNC_DEADLINE")) log.warn(errorMessage(error));
          });
        }
      };
      await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, check));
      await forgetSurplus(signal);
    },

    release,
    releaseAll() {
      for (const handle of [...open.keys()]) release(handle);
    },
    get openCount() {
      return open.size;
    },
  };
}

async function counted<T>(node: FileNode | undefined, work: () => Promise<T>): Promise<T> {
  if (node === undefined) return work();
  node.callsPending += 1;
  try {
    return await work();
  } finally {
    node.callsPending -= 1;
  }
}

/**
 * Whether a node could not be detached because the kernel, made to look the name up for it, found none: EROFS for the
 * name, ENOENT or ENOTDIR for its folder. It dropped the node and its pages then, whatever it had believed before.
 */
function kernelFoundNothing(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(EROFS|ENOENT|ENOTDIR): .* (mkdir|open) /.test(errorMessage(error.cause))
  );
}

function openDeadline(): PsyncError {
  return new PsyncError("ERR_PSYNC_DEADLINE", "the file could not be opened in time");
}

function readDeadline(): PsyncError {
  return new PsyncError(
    "ERR_PSYNC_DEADLINE",
    "its node is being renamed, and the data did not come",
  );
}

function sameAttributes(one: Attributes, other: Attributes): boolean {
  return (
    one.kind === other.kind &&
    one.sizeBytes === other.sizeBytes &&
    one.mtimeMs === other.mtimeMs &&
    one.ctimeMs === other.ctimeMs &&
    one.permissions === other.permissions
  );
}

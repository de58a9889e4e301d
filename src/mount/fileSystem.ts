/**
 * The mounted file system: a tree of hashlists answered as files, whichever driver asks.
 * It knows nothing of the kernel; each call has its deadline here.
 */
import { hash as digestOf } from "node:crypto";
import type { BlockSource, SizeMemory } from "../block/ports.js";
import { withDeadline } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, isBlockMissing, isPsyncError, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { oneLine, type Logger } from "../core/log.js";
import type { Hashlist } from "../hashlist/hashlist.js";
import { fileSize } from "../view/fileSize.js";
import { createSharedReadAhead } from "../view/readAhead.js";
import { createView, type View } from "../view/view.js";
import type { Attributes, EntryKind, FileSystem } from "./driver/port.js";
import { createListCache } from "./listCache.js";
import type { Tree, TreeEntry } from "./tree.js";

export interface FileSystemParts {
  readonly tree: Tree;
  readonly source: BlockSource;
  readonly sizes: SizeMemory;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface FileSystemOptions {
  readonly readDeadlineMs?: number;
  readonly statDeadlineMs?: number;
}

interface OpenFile {
  readonly path: string;
  readonly view: View;
  readonly attributes: Attributes;
}

const BLOCK_SIZE_SHOWN = 4096;
const MAX_NAME_BYTES = 255;
/** st_ino of a path: 52 bits of its hash, so that it is the same over remounts and an exact number. */
const INODE_HEX_DIGITS = 13;

export function createFileSystem(
  parts: FileSystemParts,
  options: FileSystemOptions = {},
): FileSystem {
  const { tree, source, sizes, clock, log } = parts;
  const readDeadlineMs = options.readDeadlineMs ?? LIMITS.read.deadlineMs;
  const statDeadlineMs = options.statDeadlineMs ?? LIMITS.read.statDeadlineMs;
  const lists = createListCache({
    log,
    maxLists: LIMITS.mount.rememberedLists,
    maxHashBytes: LIMITS.memory.listHashesBytes,
  });
  const readAhead = createSharedReadAhead({ clock });
  const openFiles = new Map<number, OpenFile>();
  const logged = new WeakMap<Error, Set<string>>();
  /** The kernel asks again, and is answered with the same error from memory: one line for each file is enough. */
  const isLogged = (error: unknown, path: string): boolean => {
    if (!(error instanceof Error)) return false;
    const paths = logged.get(error) ?? new Set();
    logged.set(error, paths);
    const before = paths.has(path);
    paths.add(path);
    return before;
  };
  let lastHandle = 0;

  /** Runs one call of the kernel to its deadline; what fails for want of a block is explained in the log. */
  const call = async <T>(
    what: { readonly verb: string; readonly path: string; readonly timeoutMs: number },
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const { verb, path, timeoutMs } = what;
    const onDeadline = (): PsyncError =>
      // Whom it waited for is not known here: servers, a seed, or the disk of the lists.
      new PsyncError("ERR_PSYNC_DEADLINE", `there was no answer within ${timeoutMs / 1000} s`);
    try {
      return await withDeadline({ clock, timeoutMs, signal, onDeadline }, work);
    } catch (error) {
      if (!signal.aborted && isWorthLogging(error) && !isLogged(error, path)) {
        const details = isPsyncError(error)
          ? error.details.map((line) => `; ${line}`).join("")
          : "";
        log.warn(oneLine(`cannot ${verb} ${path}: ${errorMessage(error)}${details}`));
      }
      throw error;
    }
  };

  const fileAttributes = async (path: string, entry: TreeEntry, signal: AbortSignal) => {
    const facts = await lists.facts(entry.sourcePath, entry.stats);
    const sizeBytes =
      facts.sizeBytes ?? (await sizeOf(await lists.list(entry.sourcePath, entry.stats), signal));
    return attributesOf(path, entry, sizeBytes);
  };

  const sizeOf = (list: Hashlist, signal: AbortSignal): Promise<number> =>
    fileSize({ list, source, sizes }, signal);

  const opened = (handle: number): OpenFile => {
    const file = openFiles.get(handle);
    if (!file)
      throw new PsyncError("ERR_PSYNC_BAD_HANDLE", `no open file has the handle ${handle}`);
    return file;
  };

  return {
    attributes: (path, signal) =>
      call({ verb: "stat", path, timeoutMs: statDeadlineMs }, signal, async (bounded) => {
        const entry = await tree.find(path);
        if (entry.kind === "file") return fileAttributes(path, entry, bounded);
        // A symlink's size is the length of what it points to, which is what lstat gave.
        return attributesOf(path, entry, Number(entry.stats.size));
      }),

    openAttributes: (handle) => opened(handle).attributes,

    list: (path, signal) =>
      call({ verb: "list", path, timeoutMs: readDeadlineMs }, signal, async () => {
        const names = await tree.list(path);
        const parent = path === "/" ? "/" : `${path}/`;
        return names.map(({ name, kind }) => ({ name, kind, inode: inodeOf(parent + name) }));
      }),

    readLink: (path, signal) =>
      call({ verb: "read the link", path, timeoutMs: statDeadlineMs }, signal, () =>
        tree.readLink(path),
      ),

    open: (path, signal) =>
      call({ verb: "open", path, timeoutMs: statDeadlineMs }, signal, async (bounded) => {
        const entry = await tree.find(path);
        if (entry.kind !== "file") {
          throw new PsyncError("ERR_PSYNC_IS_A_FOLDER", `${path} is not a file`);
        }
        const list = await lists.list(entry.sourcePath, entry.stats);
        const sizeBytes = await sizeOf(list, bounded);
        bounded.throwIfAborted();
        lastHandle += 1;
        const attributes = attributesOf(path, entry, sizeBytes);
        const view = createView({ list, sizeBytes, source, readAhead });
        openFiles.set(lastHandle, { path, view, attributes });
        return { handle: lastHandle, version: list.digest };
      }),

    read: (handle, range, signal) => {
      const file = openFiles.get(handle);
      return call(
        { verb: "read", path: file?.path ?? "", timeoutMs: readDeadlineMs },
        signal,
        (bounded) => opened(handle).view.read(range, bounded),
      );
    },

    release(handle) {
      openFiles.get(handle)?.view.close();
      openFiles.delete(handle);
    },

    stats: () => ({
      blockSizeBytes: BLOCK_SIZE_SHOWN,
      totalBlocks: 0,
      freeBlocks: 0,
      fileCount: 0,
      maxNameBytes: MAX_NAME_BYTES,
    }),
  };
}

const PERMISSIONS: Readonly<Record<EntryKind, number>> = {
  file: 0o444,
  folder: 0o555,
  symlink: 0o777,
};

function attributesOf(path: string, entry: TreeEntry, sizeBytes: number): Attributes {
  const { kind, stats } = entry;
  // The exec bit is the list's; who may read the mount is for allow_other, not for the list's mode.
  const executable = kind === "file" ? Number(stats.mode) & 0o111 : 0;
  return {
    kind,
    permissions: PERMISSIONS[kind] | executable,
    sizeBytes,
    mtimeMs: Number(stats.mtimeMs),
    ctimeMs: Number(stats.ctimeMs),
    inode: inodeOf(path),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  };
}

function inodeOf(path: string): number {
  return Number.parseInt(digestOf("sha1", path, "hex").slice(0, INODE_HEX_DIGITS), 16);
}

function isWorthLogging(error: unknown): boolean {
  // A missing name is an answer; a bad list was logged by whoever parsed it.
  return (
    isBlockMissing(error) ||
    isPsyncError(error, "ERR_PSYNC_DEADLINE") ||
    isPsyncError(error, "ERR_PSYNC_CORRUPT") ||
    !isPsyncError(error)
  );
}

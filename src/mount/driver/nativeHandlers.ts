/**
 * fuse-native's handlers over a FileSystem: one for each operation of libfuse that psync answers.
 * They stand in for fuse-native's own `_op_*` methods, which leave a call unanswered when something throws.
 */
import { PsyncError } from "../../core/errors.js";
import { ERRNO } from "../errno.js";
import type { Calls } from "./calls.js";
import type { Detacher } from "./detacher.js";
import type { FileCalls } from "./fileCalls.js";
import { ROOT_INODE, type InodeNumbers } from "./inodeNumbers.js";
import { entryStatArray, statArray, statfsArray } from "./nativeValues.js";
import type { Attributes, FileSystem } from "./port.js";

/** Answers a call: a result ≥ 0 or a negative errno, then what the operation returns. */
export type Signal = (result: number, ...payload: unknown[]) => void;

export interface HandlerParts {
  readonly fileSystem: FileSystem;
  readonly calls: Calls;
  readonly files: FileCalls;
  readonly detacher: Detacher;
  readonly inodes: InodeNumbers;
}

/** Operations that would change something; write, setxattr and rename stand below. Source: open(2), EROFS. */
const REFUSED = [
  "truncate",
  "ftruncate",
  "utimens",
  "chown",
  "chmod",
  "mknod",
  "removexattr",
  "create",
  "unlink",
  "link",
  "symlink",
  "mkdir",
  "rmdir",
] as const;

/** O_WRONLY, O_RDWR, O_TRUNC, O_APPEND: what an open for reading does not have. Source: open(2). */
const WRITE_FLAGS = 0o1 | 0o2 | 0o1000 | 0o2000;

/** Masks of access(2). */
const MAY_WRITE = 2;
const MAY_EXECUTE = 1;

/** Creates the `_op_*` methods. What is absent here (getxattr, flush, …) the kernel asks for once and never again. */
export function createNativeHandlers(parts: HandlerParts) {
  const { fileSystem, calls, files, detacher, inodes } = parts;

  const toStat = (path: string, attributes: Attributes): Uint32Array =>
    statArray(attributes, path === "/" ? ROOT_INODE : inodes.narrow(attributes.inode));

  const answerAttributes = (signal: Signal, path: string): void => {
    calls.start({
      label: `getattr ${path}`,
      work: (abort) => files.attributes(path, abort),
      succeed: (attributes) => {
        signal(0, toStat(path, attributes));
      },
      fail: (errno) => {
        signal(-errno);
      },
    });
  };

  const refuse = (signal: Signal): void => {
    signal(-ERRNO.EROFS);
  };

  const handlers = {
    _op_getattr: answerAttributes,
    _op_fgetattr: answerAttributes,

    _op_access(signal: Signal, path: string, mask: number): void {
      if ((mask & MAY_WRITE) !== 0) {
        refuse(signal);
        return;
      }
      calls.start({
        label: `access ${path}`,
        work: async (abort) => {
          if ((mask & MAY_EXECUTE) === 0) return;
          const { permissions } = await files.attributes(path, abort);
          if ((permissions & 0o111) === 0) {
            throw new PsyncError("ERR_PSYNC_NOT_EXECUTABLE", `${path} is not executable`);
          }
        },
        succeed: () => {
          signal(0);
        },
        fail: (errno) => {
          signal(-errno);
        },
      });
    },

    _op_readdir(signal: Signal, path: string): void {
      calls.start({
        label: `readdir ${path}`,
        work: (abort) => fileSystem.list(path, abort),
        succeed: (entries) => {
          const usable = entries.filter(({ name }) => isUsableName(name));
          signal(
            0,
            usable.map(({ name }) => name),
            usable.map(({ kind, inode }) => entryStatArray(kind, inodes.narrow(inode))),
          );
        },
        fail: (errno) => {
          signal(-errno);
        },
      });
    },

    _op_readlink(signal: Signal, path: string): void {
      calls.start({
        label: `readlink ${path}`,
        work: (abort) => fileSystem.readLink(path, abort),
        succeed: (target) => {
          signal(0, target);
        },
        fail: (errno) => {
          signal(-errno);
        },
      });
    },

    _op_statfs(signal: Signal): void {
      calls.start({
        label: "statfs",
        work: () => fileSystem.stats(),
        succeed: (stats) => {
          signal(0, statfsArray(stats));
        },
        fail: (errno) => {
          signal(-errno);
        },
      });
    },

    _op_open(signal: Signal, path: string, flags: number): void {
      calls.start({
        label: `open ${path}`,
        work: (abort) => {
          if ((flags & WRITE_FLAGS) !== 0) {
            throw new PsyncError("ERR_PSYNC_READ_ONLY", "files cannot be written");
          }
          return files.open(path, abort);
        },
        succeed: (handle) => {
          signal(0, handle);
        },
        fail: (errno) => {
          signal(-errno);
        },
        discard: (handle) => {
          files.release(handle);
        },
      });
    },

    _op_read(
      signal: Signal,
      path: string,
      handle: number,
      target: Buffer,
      length: number,
      offsetLow: number,
      offsetHigh: number,
    ): void {
      calls.start({
        label: `read ${path}`,
        waitsForData: true,
        work: (abort) =>
          files.read(handle, { offset: offsetLow + offsetHigh * 2 ** 32, length }, abort),
        succeed: (pieces) => {
          // The buffer is libfuse's, and freed with the answer: nothing may hold on to it.
          signal(copyInto(target, pieces), undefined, target.buffer);
        },
        fail: (errno) => {
          signal(-errno, undefined, target.buffer);
        },
      });
    },

    _op_release(signal: Signal, _path: string, handle: number): void {
      calls.start({
        label: "release",
        work: () => {
          files.release(handle);
        },
        succeed: () => {
          signal(0);
        },
        fail: (errno) => {
          signal(-errno);
        },
      });
    },

    _op_rename(signal: Signal, from: string, to: string): void {
      signal(detacher.allowRename(from, to) ? 0 : -ERRNO.EROFS);
    },

    _op_listxattr(signal: Signal, _path: string, target: Buffer): void {
      signal(0, target.buffer);
    },

    _op_setxattr(signal: Signal, _path: string, _name: string, value: Buffer): void {
      signal(-ERRNO.EROFS, value.buffer);
    },

    _op_write(signal: Signal, _path: string, _handle: number, source: Buffer): void {
      signal(-ERRNO.EROFS, undefined, source.buffer);
    },
  };
  return {
    ...handlers,
    ...Object.fromEntries(REFUSED.map((operation) => [`_op_${operation}`, refuse])),
  };
}

/**
 * Copies pieces one after the other.
 *
 * @returns bytes written to the start of the target
 * @throws Error they are longer than the target; nothing is handed out then
 */
export function copyInto(target: Uint8Array, pieces: readonly Uint8Array[]): number {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length > target.length) {
    throw new Error(`${length} bytes came where ${target.length} were asked for`);
  }
  let offset = 0;
  for (const piece of pieces) {
    target.set(piece, offset);
    offset += piece.length;
  }
  return length;
}

/** One bad name would end libfuse's whole listing. NAME_MAX is checked in bytes. */
export function isUsableName(name: string): boolean {
  return (
    name !== "" &&
    name !== "." &&
    name !== ".." &&
    !/[/\0]/.test(name) &&
    Buffer.byteLength(name) <= 255
  );
}

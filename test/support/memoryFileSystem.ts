/** A FileSystem in memory for tests of drivers: files can be changed, held back, and made to fail in every way. */
import { PsyncError } from "../../src/core/errors.js";
import type { Attributes, FileSystem, FolderEntry } from "../../src/mount/driver/port.js";

export interface MemoryFile {
  readonly version: string;
  readonly mtimeMs: number;
  readonly sizeBytes: number;
  readonly inode: number;
  readonly permissions: number;
  readonly bytes: (offset: number, length: number) => Uint8Array;
}

export type ReadHook = (
  path: string,
  signal: AbortSignal,
) => Promise<readonly Uint8Array[]> | undefined;

export class MemoryFileSystem implements FileSystem {
  readonly files = new Map<string, MemoryFile>();
  readonly folders = new Map<string, FolderEntry[]>([["/", []]]);
  readonly opened = new Map<number, { readonly path: string; readonly file: MemoryFile }>();
  /** Stands in for a read when it returns a promise or throws. */
  onRead: ReadHook = () => undefined;
  reads = 0;
  #lastHandle = 0;
  #lastInode = 100;

  /** Puts a file in place of what is there, with the same inode. */
  put(path: string, content: string | Uint8Array, options: Partial<MemoryFile> = {}): void {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    const known = this.files.get(path);
    this.files.set(path, {
      version: `${path}:${Number(known?.version.split(":").at(-1) ?? 0) + 1}`,
      mtimeMs: 1_700_000_000_000,
      sizeBytes: bytes.length,
      inode: known?.inode ?? ++this.#lastInode,
      permissions: 0o444,
      bytes: (offset, length) => bytes.subarray(offset, offset + length),
      ...options,
    });
  }

  attributes(path: string): Promise<Attributes> {
    if (this.folders.has(path)) return Promise.resolve(folderAttributes(path));
    const file = this.files.get(path);
    return file ? Promise.resolve(fileAttributes(file)) : Promise.reject(noEntry(path));
  }

  openAttributes(handle: number): Attributes {
    return fileAttributes(this.#handle(handle).file);
  }

  list(path: string): Promise<readonly FolderEntry[]> {
    const found = [...this.files].filter(([file]) => parentOf(file) === path);
    const files = found.map(([file, { inode }]) => ({
      name: file.slice(file.lastIndexOf("/") + 1),
      kind: "file" as const,
      inode,
    }));
    return Promise.resolve([...(this.folders.get(path) ?? []), ...files]);
  }

  readLink(path: string): Promise<string> {
    return Promise.reject(noEntry(path));
  }

  open(path: string): Promise<{ readonly handle: number; readonly version: string }> {
    const file = this.files.get(path);
    if (!file) return Promise.reject(noEntry(path));
    this.#lastHandle += 1;
    this.opened.set(this.#lastHandle, { path, file });
    return Promise.resolve({ handle: this.#lastHandle, version: file.version });
  }

  read(
    handle: number,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    const { path, file } = this.#handle(handle);
    this.reads += 1;
    const instead = this.onRead(path, signal);
    if (instead) return instead;
    const wanted = Math.max(0, Math.min(length, file.sizeBytes - offset));
    // In two pieces, as from two blocks.
    const half = Math.floor(wanted / 2);
    return Promise.resolve([file.bytes(offset, half), file.bytes(offset + half, wanted - half)]);
  }

  release(handle: number): void {
    if (!this.opened.delete(handle)) throw new Error(`released twice: ${handle}`);
  }

  stats() {
    return {
      blockSizeBytes: 4096,
      totalBlocks: 2 ** 40,
      freeBlocks: 0,
      fileCount: this.files.size,
      maxNameBytes: 255,
    };
  }

  #handle(handle: number) {
    const opened = this.opened.get(handle);
    if (!opened) throw new PsyncError("ERR_PSYNC_BAD_HANDLE", `no handle ${handle}`);
    return opened;
  }
}

function fileAttributes({ permissions, sizeBytes, mtimeMs, inode }: MemoryFile): Attributes {
  const common = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, ctimeMs: mtimeMs };
  return { kind: "file", permissions, sizeBytes, mtimeMs, inode, ...common };
}

function folderAttributes(path: string): Attributes {
  const common = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const inode = path === "/" ? 1 : 50;
  return {
    kind: "folder",
    permissions: 0o755,
    sizeBytes: 0,
    mtimeMs: 0,
    ctimeMs: 0,
    inode,
    ...common,
  };
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function noEntry(path: string): PsyncError {
  return new PsyncError("ERR_PSYNC_NO_ENTRY", `no such file: ${path}`);
}

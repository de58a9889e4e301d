/**
 * What a FUSE driver asks of the file system, and what a mount can be told.
 * Handlers know no driver; a driver knows no handler: they meet here.
 */

/** A node's attributes. Times in ms since 1970; sizes in bytes. */
export interface Attributes {
  readonly kind: EntryKind;
  /** Permission bits only, as in chmod(2). */
  readonly permissions: number;
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** Integer in 1..2^53−1, the same over remounts. */
  readonly inode: number;
  readonly uid: number;
  readonly gid: number;
}

export type EntryKind = "file" | "folder" | "symlink";

/** One name in a folder, without `.` and `..`. */
export interface FolderEntry {
  readonly name: string;
  readonly kind: EntryKind;
  readonly inode: number;
}

/** As in statvfs(3). */
export interface FileSystemStats {
  readonly blockSizeBytes: number;
  readonly totalBlocks: number;
  readonly freeBlocks: number;
  readonly fileCount: number;
  readonly maxNameBytes: number;
}

/** What `open` found. */
export interface OpenedFile {
  /** Integer in 1..2^53−1 that names the open file, and no other before or after. A driver with fewer bits has its own. */
  readonly handle: number;
  /**
   * Changes exactly when the file's bytes change. A driver must never let two versions share the kernel's page cache.
   */
  readonly version: string;
}

/**
 * The file system as a driver sees it. Paths are absolute inside the mount, normalised, `/` is the root.
 * Each call settles by its own deadline and rejects with a PsyncError whose code has an errno in the error table.
 * Everything that would change something is answered by the driver itself, with EROFS.
 */
export interface FileSystem {
  attributes(path: string, signal: AbortSignal): Promise<Attributes>;
  /** Attributes of an open file: those of the version that was opened, whatever the path shows now. */
  openAttributes(handle: number): Attributes;
  list(path: string, signal: AbortSignal): Promise<readonly FolderEntry[]>;
  readLink(path: string, signal: AbortSignal): Promise<string>;
  open(path: string, signal: AbortSignal): Promise<OpenedFile>;
  /**
   * Bytes of an open file, as views of verified blocks that nobody may change, in order.
   * Together they are as long as was asked, and shorter only at the end of the file.
   */
  read(
    handle: number,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>;
  release(handle: number): void;
  stats(): FileSystemStats;
}

export interface MountOptions {
  /** An absolute path of an existing folder. */
  readonly mountpoint: string;
  /** What `findmnt` shows as the source. */
  readonly sourceName: string;
  /** Lets users other than the mounting one in (`allow_other`). */
  readonly allowOther: boolean;
}

export interface DriverMount {
  /** Ends when the kernel has let go of the mount, whoever unmounted it. */
  readonly closed: Promise<void>;
  /** How many files are open now. */
  openFiles(): number;
  /** Threads, queues and the like, by name, for the log and for metrics. */
  metrics(): Readonly<Record<string, number>>;
  /**
   * Unmounts. Calls go on and are answered: a file that is open makes the mount busy, and unmounted lazily it is
   * served until it is closed. No call that is pending holds it up.
   *
   * @param lazy take it out of the tree at once, also when files are open in it
   * @throws ERR_PSYNC_MOUNT it is busy, or the unmounting program failed
   */
  unmount(options: { readonly lazy: boolean }): Promise<void>;
  /**
   * Answers all pending calls with EIO at once, and from now on every read: for the moment before the process ends,
   * and for a mount that must go although somebody waits in it.
   */
  stopServing(): void;
}

export interface Driver {
  readonly name: string;
  /**
   * Mounts, and returns once the kernel has the mount. On failure the mountpoint is as it was.
   *
   * @throws ERR_PSYNC_MOUNT with the cause and what mends it
   */
  mount(fileSystem: FileSystem, options: MountOptions): Promise<DriverMount>;
}

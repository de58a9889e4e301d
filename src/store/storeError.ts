/** Failed system calls of the store as one typed error: what was done, to which path, what to do now. */
import { statfsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { formatSize } from "../core/bytes.js";
import { errorMessage, isPsyncError, PsyncError, systemErrorCode } from "../core/errors.js";

interface Explanation {
  readonly what: string;
  /** What was found out about this very failure. */
  readonly seen?: string;
  readonly hint: string;
}

const EXPLANATIONS = {
  ENOSPC: {
    what: "no space is left on the disk",
    hint: "free space on that disk (`psync gc` removes kept blocks that no list names), or give another store with --store",
  },
  EDQUOT: {
    what: "the disk quota of this user is used up",
    hint: "see `quota -s`: free space (`psync gc` removes kept blocks that no list names), or give another store with --store",
  },
  EROFS: {
    what: "the file system is mounted read-only",
    hint: "give a store on a writable disk with --store; a disk turns read-only after an error too (see dmesg)",
  },
  EACCES: {
    what: "permission is denied",
    hint: "make the folder readable and writable for this user, or give another store with --store",
  },
  EPERM: {
    what: "the operation is not permitted",
    hint: "look at the owner and the attributes of the path, or give another store with --store",
  },
  EMFILE: {
    what: "this process has too many files open",
    hint: "raise the limit of open files (ulimit -n, or LimitNOFILE of systemd)",
  },
  ENFILE: {
    what: "the system has too many files open",
    hint: "raise fs.file-max, or end what holds so many files open",
  },
  EIO: {
    what: "the disk reports an error",
    hint: "look at dmesg and at the disk; what it holds may be damaged",
  },
  EFBIG: {
    what: "the file would be larger than this process may write",
    hint: "raise the limit of file sizes (ulimit -f)",
  },
  EXDEV: {
    what: "the folders of the store lie on different file systems",
    hint: "move the whole store, not single folders of it, to the other disk",
  },
  ENOTDIR: {
    what: "something that is not a folder is in the way",
    hint: "move it away, or give another store with --store",
  },
} as const satisfies Readonly<Record<string, Explanation>>;

/**
 * What a failed system call means for the store. An error that is a PsyncError already stays as it is.
 *
 * @param doing what was tried, as in "cannot <doing>"
 * @param found what was found out about it, in place of what is always said
 */
export function storeError(
  doing: string,
  path: string,
  error: unknown,
  found?: Explanation,
): PsyncError {
  if (isPsyncError(error)) return error;
  const code = systemErrorCode(error);
  const known = found ?? explanationOf(isFullDisk(path, error) ? "ENOSPC" : code);
  const what =
    known === undefined ? errorMessage(error) : `${known.what} (${code ?? ""})${known.seen ?? ""}`;
  return new PsyncError("ERR_PSYNC_STORE", `cannot ${doing} ${path}: ${what}`, {
    hint: known?.hint ?? "look at the path, or give another store with --store",
    cause: error,
  });
}

function explanationOf(code: string | undefined): Explanation | undefined {
  const explanations: Readonly<Record<string, Explanation>> = EXPLANATIONS;
  return code === undefined ? undefined : explanations[code];
}

/** Runs work whose system calls belong to one path. What lacked, and how much of it there is, is looked up. */
export async function orStoreError<T>(
  doing: string,
  path: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(doing, path, error, await lookInto(path, error));
  }
}

/** How much of what lacked there is; undefined where that cannot be said. */
async function lookInto(path: string, error: unknown): Promise<Explanation | undefined> {
  const code = systemErrorCode(error);
  // The file itself need not be there.
  if (code === "ENOSPC") return statfs(dirname(path)).then(describeDisk, () => undefined);
  return code === "EMFILE" ? describeOpenFiles() : undefined;
}

/** Less than this SQLite cannot go on with: pages of its index, and 32 KiB of memory that is shared. */
const SQLITE_ROOM_BYTES = 64 * 1024;

/** Whether SQLite failed for want of room on the disk of a path: where it is its shared memory, it speaks of an I/O error. */
export function isFullDisk(path: string, error: unknown): boolean {
  const code = systemErrorCode(error) ?? "";
  if (code === "SQLITE_FULL") return true;
  if (!code.startsWith("SQLITE_IOERR")) return false;
  try {
    const { bavail, bsize, blocks, files, ffree } = statfsSync(dirname(path));
    // Some file systems do not say how much there is.
    const hasNoRoom = blocks > 0 && bavail * bsize < SQLITE_ROOM_BYTES;
    return hasNoRoom || (files > 0 && ffree === 0);
  } catch {
    return false;
  }
}

interface DiskCounts {
  readonly bsize: number;
  readonly bavail: number;
  readonly blocks: number;
  readonly files: number;
  readonly ffree: number;
}

function describeDisk({ bsize, bavail, blocks, files, ffree }: DiskCounts): Explanation {
  if (files > 0 && ffree === 0) {
    return {
      what: "no more files fit on the disk",
      seen: `: all of its ${files} inodes are in use`,
      hint: "remove files on that disk, large or small, or give another store with --store",
    };
  }
  const seen = `: ${formatSize(bavail * bsize)} of ${formatSize(blocks * bsize)} are free`;
  return { ...EXPLANATIONS.ENOSPC, seen };
}

/** The limit does not change while a process runs, and looking it up takes some milliseconds. */
let openFilesLimit: string | undefined;

/** From Node's report, since a file in /proc could not be opened now. */
function describeOpenFiles(): Explanation {
  openFilesLimit ??= readOpenFilesLimit();
  return { ...EXPLANATIONS.EMFILE, seen: `: its limit is ${openFilesLimit}` };
}

function readOpenFilesLimit(): string {
  const excludeNetwork: unknown = Reflect.get(process.report, "excludeNetwork");
  // Else the names of all peers are asked of the DNS, on this thread.
  Object.assign(process.report, { excludeNetwork: true });
  const report = process.report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: string | number } };
  };
  Object.assign(process.report, { excludeNetwork });
  return String(report.userLimits?.open_files?.soft ?? "not known");
}

/** Whether a system call failed because its path is not there. */
export function isAbsent(error: unknown): boolean {
  return systemErrorCode(error) === "ENOENT";
}

/** Failed system calls of the store as one typed error: what was done, to which path, what to do now. */
import { errorMessage, isPsyncError, PsyncError, systemErrorCode } from "../core/errors.js";

interface Explanation {
  readonly what: string;
  readonly hint: string;
}

const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  ENOSPC: {
    what: "no space is left on the disk",
    hint: "free space on that disk, lower cacheSize in config.json or --cache-size, or give another store with --store",
  },
  EDQUOT: {
    what: "the disk quota of this user is used up",
    hint: "free space, lower cacheSize in config.json or --cache-size, or give another store with --store",
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
    hint: "raise the limit of open files (ulimit -n)",
  },
  ENFILE: {
    what: "the system has too many files open",
    hint: "raise fs.file-max, or end what holds so many files open",
  },
  EIO: {
    what: "the disk reports an error",
    hint: "look at dmesg and at the disk; what it holds may be damaged",
  },
  EXDEV: {
    what: "the folders of the store lie on different file systems",
    hint: "move the whole store, not single folders of it, to the other disk",
  },
  ENOTDIR: {
    what: "something that is not a folder is in the way",
    hint: "move it away, or give another store with --store",
  },
};

/**
 * What a failed system call means for the store. An error that is a PsyncError already stays as it is.
 *
 * @param doing what was tried, as in "cannot <doing>"
 */
export function storeError(doing: string, path: string, error: unknown): PsyncError {
  if (isPsyncError(error)) return error;
  const code = systemErrorCode(error);
  const known = code === undefined ? undefined : EXPLANATIONS[code];
  const what = known === undefined ? errorMessage(error) : `${known.what} (${code ?? ""})`;
  return new PsyncError("ERR_PSYNC_STORE", `cannot ${doing} ${path}: ${what}`, {
    hint: known?.hint ?? "look at the path, or give another store with --store",
    cause: error,
  });
}

/** Runs work whose system calls belong to one path. */
export async function orStoreError<T>(
  doing: string,
  path: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(doing, path, error);
  }
}

/** Whether a system call failed because its path is not there. */
export function isAbsent(error: unknown): boolean {
  return systemErrorCode(error) === "ENOENT";
}

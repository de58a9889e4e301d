/**
 * The one error class, and the one table that says what each code means at the edges.
 * It knows nothing of who throws; the CLI, the mount and the server read the table.
 */
import { constants } from "node:os";

interface ErrorMeaning {
  /** What the CLI exits with. */
  readonly exitCode: number;
  /** The name of the errno that a reader of the mount gets. */
  readonly errno: ErrnoName;
  /** What the block server answers. */
  readonly httpStatus: number;
  /** Whether the same call can succeed later with nothing changed on this side. */
  readonly retryable: boolean;
}

/** Every errno that psync answers with; `mount/errno.ts` has their numbers. */
export type ErrnoName =
  | "EACCES"
  | "EBADF"
  | "EINTR"
  | "EINVAL"
  | "EIO"
  | "EISDIR"
  | "ENAMETOOLONG"
  | "ENOENT"
  | "ENOTDIR"
  | "EROFS"
  | "ESTALE"
  | "ETIMEDOUT";

function meaning(
  exitCode: number,
  errno: ErrnoName,
  httpStatus: number,
  retryable = false,
): ErrorMeaning {
  return { exitCode, errno, httpStatus, retryable };
}

/** What each code means: exit status, errno, HTTP status, whether a retry can help. */
export const ERROR_TABLE = {
  // Anything that has no better name: a file that cannot be read, an address that is in use.
  ERR_PSYNC_FAILED: meaning(1, "EIO", 500),
  ERR_PSYNC_FILE_CHANGED: meaning(1, "EIO", 500, true),
  // The command line, the config file or an address says something that has no meaning.
  ERR_PSYNC_USAGE: meaning(2, "EINVAL", 400),
  ERR_PSYNC_BAD_HASHLIST: meaning(3, "EIO", 500),
  // No source had a valid copy; the message says what each did.
  // 504, since it says nothing of this server: a 503 would.
  ERR_PSYNC_BLOCK_UNAVAILABLE: meaning(4, "EIO", 504, true),
  // Every source there is says that it has none.
  ERR_PSYNC_BLOCK_NOT_FOUND: meaning(4, "EIO", 404, true),
  // The same, but for those that would have to ask who asks already.
  ERR_PSYNC_BLOCK_IN_CIRCLE: meaning(4, "EIO", 508, true),
  ERR_PSYNC_DEADLINE: meaning(4, "ETIMEDOUT", 504, true),
  // Bytes that are not what their name says.
  ERR_PSYNC_HASH_MISMATCH: meaning(5, "EIO", 500),
  // Blocks that are each right but do not make up the file: a wrong length in the list.
  ERR_PSYNC_CORRUPT: meaning(5, "EIO", 500),
  ERR_PSYNC_MOUNT: meaning(6, "EIO", 500),
  ERR_PSYNC_STORE: meaning(7, "EIO", 503, true),
  ERR_PSYNC_INTERRUPTED: meaning(130, "EINTR", 503, true),
  // What a path or a handle on the mount can get wrong.
  ERR_PSYNC_NO_ENTRY: meaning(1, "ENOENT", 404),
  ERR_PSYNC_NOT_A_FOLDER: meaning(1, "ENOTDIR", 404),
  ERR_PSYNC_IS_A_FOLDER: meaning(1, "EISDIR", 404),
  ERR_PSYNC_NOT_A_LINK: meaning(1, "EINVAL", 404),
  ERR_PSYNC_NAME_TOO_LONG: meaning(1, "ENAMETOOLONG", 404),
  ERR_PSYNC_READ_ONLY: meaning(1, "EROFS", 405),
  ERR_PSYNC_BAD_HANDLE: meaning(1, "EBADF", 500),
  ERR_PSYNC_STALE: meaning(1, "ESTALE", 500, true),
  ERR_PSYNC_NOT_EXECUTABLE: meaning(1, "EACCES", 404),
} as const satisfies Record<string, ErrorMeaning>;

export type ErrorCode = keyof typeof ERROR_TABLE;

export interface PsyncErrorOptions {
  /** What to do about it, one sentence, shown after `hint:`. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** Lines that explain, shown indented under the message: one a server, one a block. */
  readonly details?: readonly string[];
}

/** Every failure that psync knows the meaning of. */
export class PsyncError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: readonly string[];

  constructor(code: ErrorCode, message: string, options: PsyncErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "PsyncError";
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? [];
  }
}

/** Whether a value is a PsyncError, of the given code where one is given. */
export function isPsyncError(error: unknown, code?: ErrorCode): error is PsyncError {
  return error instanceof PsyncError && (code === undefined || error.code === code);
}

/** Whether a block was not to be had, for whatever reason: another time, or from others, it may be. */
export function isBlockMissing(error: unknown): error is PsyncError {
  return (
    isPsyncError(error, "ERR_PSYNC_BLOCK_UNAVAILABLE") ||
    isPsyncError(error, "ERR_PSYNC_BLOCK_NOT_FOUND") ||
    isPsyncError(error, "ERR_PSYNC_BLOCK_IN_CIRCLE")
  );
}

/**
 * Reads a text with the given parser, and says of its ERR_PSYNC_USAGE where the text stands: `PSYNC_SERVERS: …`.
 *
 * @throws what the parser throws
 */
export function readAt<T>(place: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!isPsyncError(error, "ERR_PSYNC_USAGE")) throw error;
    const { hint, details } = error;
    throw new PsyncError("ERR_PSYNC_USAGE", `${place}: ${error.message}`, {
      details,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** The errno name of a failed system call ("ENOENT"), or undefined where it is not one. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  // libuv has no name for it: its code is "Unknown system error -122" (native-notes/node.md).
  if ("errno" in error && error.errno === -constants.errno.EDQUOT) return "EDQUOT";
  return typeof error.code === "string" ? error.code : undefined;
}

/** The message of whatever was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

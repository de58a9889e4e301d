/** The numbers of the errnos psync answers with, as Linux has them. No other file knows one. */
import { ERROR_TABLE, isPsyncError, type ErrnoName } from "../core/errors.js";

/** Linux errno numbers, positive, the same on every architecture that Node runs on. */
export const ERRNO: Readonly<Record<ErrnoName, number>> = {
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  EACCES: 13,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  EROFS: 30,
  ENAMETOOLONG: 36,
  ETIMEDOUT: 110,
  ESTALE: 116,
};

/**
 * What a caller of the mount is answered for something that was thrown.
 *
 * @returns a positive errno, and whether the error is one that psync knows; what it does not know is EIO
 */
export function errnoOf(error: unknown): { readonly errno: number; readonly known: boolean } {
  if (!isPsyncError(error)) return { errno: ERRNO.EIO, known: false };
  return { errno: ERRNO[ERROR_TABLE[error.code].errno], known: true };
}

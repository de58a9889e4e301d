/** Whole files, written and synced. Knows nothing of where they belong. */
import { constants } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { FILE_MODE } from "./layout.js";
import { orStoreError } from "./storeError.js";

export interface WriteOptions {
  /** Whether the bytes are on the disk when the call returns (fdatasync(2)). */
  readonly sync: boolean;
}

/**
 * Writes a new file whole, or leaves none.
 *
 * A failed sync is final: the kernel may have dropped the pages it could not write and marked them clean,
 * so that a second sync would report success (fsync(2), "Errors"). The file is removed instead.
 *
 * @throws the system error of whichever call failed
 */
export async function writeNewFile(
  path: string,
  bytes: Uint8Array,
  { sync }: WriteOptions,
): Promise<void> {
  const handle = await open(path, "wx", FILE_MODE);
  try {
    try {
      await writeAll(handle, bytes);
      if (sync) await handle.datasync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    await rm(path, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** The part of a file handle that writing needs: so that a test can write short. */
export interface Writable {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
}

/** Writes all bytes from position 0; write(2) may take fewer than it was given. */
export async function writeAll(file: Writable, bytes: Uint8Array): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, done);
    if (bytesWritten === 0) throw new Error("the disk took no bytes, and named no error");
    done += bytesWritten;
  }
}

/**
 * Renames a finished temp file to its place, or removes it.
 *
 * @throws ERR_PSYNC_STORE
 */
export async function putInPlace(tempPath: string, path: string): Promise<void> {
  try {
    await orStoreError("put in place", path, () => rename(tempPath, path));
  } catch (error) {
    await rm(tempPath, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Makes the data of a file that is there durable. A symlink is not followed (ELOOP). */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

/** Opens a store for those who can do without writing to it. */
import { errorMessage, isPsyncError, systemErrorCode } from "../core/errors.js";
import { openStore, type Store, type StoreOptions } from "./openStore.js";
import { storeLayout } from "./layout.js";
import { findForeignPart } from "./ownStore.js";
import { createReopeningStore } from "./reopeningStore.js";
import { hasStoreName } from "./storeFolders.js";

export interface ReaderOptions extends Omit<StoreOptions, "readOnly"> {
  /** `cache`: it would like to write, and makes the store where there is none. `read`: it makes nothing new. */
  readonly wish: "cache" | "read";
}

/**
 * Opens a store for writing where that can be, so that bad blocks are set aside and uses are noted, and
 * otherwise for reading only; one that would like to cache writes as soon as it can. To one that only reads, a path
 * where nothing is, or an empty folder, is a store without blocks, and a store that is not this user's alone is read:
 * each block is verified, and nothing in it is followed elsewhere.
 *
 * @throws ERR_PSYNC_STORE the path is no store, or cannot be read either; to one that caches: it is somebody else's too
 * Source: docs/semantics.md, STORE-4, STORE-5, DISK-1.
 */
export async function openToRead({ wish, ...options }: ReaderOptions): Promise<Store> {
  const { path, clock, log } = options;
  if (wish === "read" && !(await hasStoreName(path))) {
    log.info(`there is no store at ${path}`);
    return openStore({ ...options, readOnly: true });
  }
  const foreign = wish === "read" ? await findForeignPart(storeLayout(path)) : undefined;
  try {
    if (foreign) throw foreign;
    return await openStore(options);
  } catch (error) {
    if (error !== foreign && !cannotBeWritten(error)) throw error;
    const reader = await openStore({ ...options, readOnly: true });
    if (wish === "cache") {
      const reopen = (): Promise<Store> => openStore(options);
      return createReopeningStore({ reader, cause: error, reopen, clock, log });
    }
    log.debug(`the store is only read: ${errorMessage(error)}`);
    return reader;
  }
}

const UNWRITABLE = new Set([
  ...["EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT"],
  ...["EIO", "EMFILE", "ENFILE"],
]);

function cannotBeWritten(error: unknown): error is Error {
  return (
    isPsyncError(error, "ERR_PSYNC_STORE") && UNWRITABLE.has(systemErrorCode(error.cause) ?? "")
  );
}

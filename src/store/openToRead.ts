/** Opens a store for those who can do without writing to it. */
import { isPsyncError, systemErrorCode } from "../core/errors.js";
import { openStore, type Store, type StoreOptions } from "./openStore.js";
import { hasStoreName } from "./storeFolders.js";

export interface ReaderOptions extends Omit<StoreOptions, "readOnly"> {
  /** `cache`: it would like to write, and makes the store where there is none. `read`: it makes nothing new. */
  readonly wish: "cache" | "read";
}

/**
 * Opens a store for writing where that can be, so that bad blocks are set aside and uses are noted, and
 * otherwise for reading only. To one that only reads, a path where nothing is, or an empty folder, is a store without blocks.
 *
 * @throws ERR_PSYNC_STORE the path is no store, or cannot be read either
 * Source: docs/semantics.md, STORE-4.
 */
export async function openToRead({ wish, ...options }: ReaderOptions): Promise<Store> {
  const { path, log } = options;
  if (wish === "read" && !(await hasStoreName(path))) {
    log.info(`there is no store at ${path}`);
    return openStore({ ...options, readOnly: true });
  }
  try {
    return await openStore(options);
  } catch (error) {
    if (!cannotBeWritten(error)) throw error;
    const store = await openStore({ ...options, readOnly: true });
    if (wish === "cache") log.warn(`nothing is cached in ${path}: ${error.message}`);
    else log.debug(`the store is only read: ${error.message}`);
    return store;
  }
}

const UNWRITABLE = new Set(["EROFS", "EACCES", "EPERM", "ENOSPC", "EDQUOT"]);

function cannotBeWritten(error: unknown): error is Error {
  return (
    isPsyncError(error, "ERR_PSYNC_STORE") && UNWRITABLE.has(systemErrorCode(error.cause) ?? "")
  );
}

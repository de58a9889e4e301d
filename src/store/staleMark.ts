/** A mark beside the index: cache/ holds more than the index counts, since it did not answer when that was written. */
import { constants, lstatSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { errorMessage } from "../core/errors.js";
import type { Logger } from "../core/log.js";
import type { IndexFile } from "./indexFile.js";
import { FILE_MODE, type StoreLayout } from "./layout.js";
import { orStoreError } from "./storeError.js";

/**
 * Says to whoever opens the index next that cache/ holds more than it counts.
 *
 * @throws ERR_PSYNC_STORE it could not be said: a block that nobody counts would never be evicted, so rather none is cached
 */
export async function markStale({ staleIndex }: StoreLayout): Promise<void> {
  const { O_WRONLY, O_CREAT, O_NOFOLLOW } = constants;
  await orStoreError("write", staleIndex, async () => {
    const handle = await open(staleIndex, O_WRONLY | O_CREAT | O_NOFOLLOW, FILE_MODE);
    await handle.close();
  });
}

/** The mark goes when the index itself says that it needs a scan: a crash in between loses nothing. */
export function forgetScanIfStale(
  file: IndexFile,
  { layout, log }: { readonly layout: StoreLayout; readonly log: Logger },
): void {
  if (!lstatSync(layout.staleIndex, { throwIfNoEntry: false })) return;
  file.setScannedBoot("");
  try {
    rmSync(layout.staleIndex, { force: true });
  } catch (error) {
    // Each start scans until it is gone.
    log.debug(`cannot remove ${layout.staleIndex}: ${errorMessage(error)}`);
  }
}

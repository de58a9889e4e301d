/** Seeds hashed while the user waits, with a bar: whatever needs their blocks can do nothing before. */
import type { StoreSeeds } from "../compose.js";
import { createProgress } from "./progress.js";

/** @throws as `StoreSeeds.hash` */
export async function hashSeeds(
  seeds: StoreSeeds,
  options: { readonly signal: AbortSignal; readonly quiet: boolean; readonly listed: boolean },
): Promise<void> {
  const { signal, quiet, listed } = options;
  const progress = createProgress({ label: "hash seeds", total: 0, quiet });
  let readBytes = 0;
  try {
    await seeds.hash({
      signal,
      listed,
      onBytes: (sizeBytes) => {
        readBytes += sizeBytes;
        progress.update(0, readBytes);
      },
    });
  } finally {
    progress.end();
  }
}

/** What `get` and `pin` do: every block of lists is kept, taken from seeds or fetched where it lacks, with progress and an account of it. */
import { formatCount, formatSize } from "../core/bytes.js";
import { systemClock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { ServerSettings } from "../fetch/serverSettings.js";
import type { NamedList } from "../transfer/getBlocks.js";
import { createExplainer } from "./explain.js";
import { hashSeeds } from "./hashSeeds.js";
import { writeJson } from "./output.js";
import { createProgress } from "./progress.js";
import type { CommandContext } from "./run.js";

export interface KeepListsOptions {
  /** Stands before the progress bar. */
  readonly label: string;
  readonly servers: readonly ServerSettings[];
  /** Fetches also what is there. */
  readonly force: boolean;
  readonly explain: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

/**
 * Keeps every block of the lists, and says what was done.
 *
 * @throws ERR_PSYNC_BLOCK_UNAVAILABLE blocks are not to be had; what came is kept
 * @throws as `getBlocks`; ERR_PSYNC_USAGE a setting has no meaning
 */
export async function keepLists(
  lists: readonly NamedList[],
  { settings, log, signal }: CommandContext,
  { label, servers, force, explain, json, quiet }: KeepListsOptions,
): Promise<void> {
  const limitBytesPerSecond = await settings.limitBytesPerSecond();
  const seeds = await settings.seeds();
  const { createServers, openLocalStore } = await import("../compose.js");
  const { getBlocks, unavailableBlocks } = await import("../transfer/getBlocks.js");
  const store = await openLocalStore({ storePath: settings.storePath, log }, "write");
  const explainer = explain ? createExplainer(log) : undefined;
  const source = createServers({
    servers,
    log,
    patienceMs: LIMITS.fetch.getPatienceMs,
    limitBytesPerSecond,
    records: store.servers,
    explain: explainer?.explain,
  });
  const total = lists.reduce((sum, { list }) => sum + list.blockCount, 0);
  try {
    if (seeds.length > 0 && !force) {
      for (const { list } of lists) store.seeds.lookFor(list.blockSizeBytes);
      await store.seeds.use(seeds);
      await hashSeeds(store.seeds, { signal, quiet, listed: false });
    }
    // A bar would stand in the middle of the lines.
    const progress = createProgress({ label, total, quiet: quiet || explainer !== undefined });
    const totals = await getBlocks(lists, {
      store: store.blocks,
      source,
      clock: systemClock,
      signal,
      force,
      onFetch: explainer?.onFetch,
      onProgress: ({ presentCount, seedCount, fetchedCount, fetchedBytes }) => {
        progress.update(presentCount + seedCount + fetchedCount, fetchedBytes);
      },
    }).finally(() => {
      progress.end();
    });
    const { blockCount, presentCount, seedCount, fetchedCount, fetchedBytes, failures } = totals;
    const lackingCount = failures.length + totals.notTriedCount;
    log.info(
      `${formatCount(blockCount, "block")}: ${presentCount} there already, ` +
        (seedCount > 0 || seeds.length > 0 ? `${seedCount} from seeds, ` : "") +
        `${fetchedCount} fetched (${formatSize(fetchedBytes)}), ${lackingCount} missing`,
    );
    if (json) {
      const failed = failures.map(({ listName: list, blockIndex, hash, error }) => {
        const servers = error instanceof PsyncError ? error.details : [];
        return { list, blockIndex, hash, error: error.message, servers };
      });
      await writeJson({
        blockCount,
        presentCount,
        seedCount,
        fetchedCount,
        fetchedBytes,
        lackingCount,
        failed,
      });
    }
    if (lackingCount > 0) throw unavailableBlocks(totals, { isServed: servers.length > 0 });
  } finally {
    await source.close();
    await store.close();
  }
}

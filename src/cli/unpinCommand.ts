/** `psync unpin`: blocks of lists are handed back to the cache. */
import { formatCount, formatSize } from "../core/bytes.js";
import { findLists, type FoundList } from "../hashlist/findLists.js";
import { warningOfEmpty } from "./emptyLists.js";
import { giveUpLost } from "./giveUpLost.js";
import { writeJson } from "./output.js";
import { createProgress } from "./progress.js";
import { defineCommand, listsOption } from "./run.js";

export const unpinCommand = defineCommand({
  command: "unpin <list..>",
  describe: "Hand the kept blocks of lists back to the cache, which may evict them",
  builder: (args) =>
    args
      .positional("list", { ...listsOption, demandOption: true })
      .option("keep", {
        ...listsOption,
        requiresArg: true,
        describe:
          "lists, or folders of them, whose blocks stay kept; the lists to unpin may be among them",
      })
      .option("json", { type: "boolean", describe: "say what was done as JSON, on stdout" })
      .example("psync unpin lists/old.iso.hashlist --keep lists/", "but what other lists share"),
  run: async (args, context) => {
    const { settings, log, signal } = context;
    const cacheQuotaBytes = await settings.cacheQuotaBytes();
    const minFree = await settings.minFree();
    const { openLocalStore } = await import("../compose.js");
    const { findUnneeded, namedBlocks } = await import("../transfer/keptBlocks.js");
    const { storePath } = settings;
    const store = await openLocalStore({ storePath, cacheQuotaBytes, minFree, log }, "change");
    try {
      // Before the lists are read, as in `gc`.
      const sweep = await store.startSweep();
      try {
        const without = new Set<string>();
        const unpinned = await namedBlocks(noting(findLists(args.list, { signal }), without));
        const others = findLists(args.keep ?? [], { signal, without });
        const named = (await namedBlocks(warningOfEmpty(others, log))).hashes;
        const found = await findUnneeded(unpinned.hashes, {
          store: store.blocks,
          named,
          claimed: store.claimed(),
          signal,
        });
        const { size: total } = found.hashes;
        const progress = createProgress({ label: "unpin", total, quiet: args.quiet === true });
        const totals = await sweep
          .take(found.hashes, "cache", {
            signal,
            onProgress: ({ takenCount, claimedCount, takenBytes }) => {
              progress.update(takenCount + claimedCount, takenBytes);
            },
          })
          .finally(() => {
            progress.end();
          });
        await giveUpLost(
          store.upkeep,
          (hash) => unpinned.hashes.has(hash) && !named.has(hash),
          log,
        );
        const claimedCount = totals.claimedCount + found.claimedCount;
        const { takenCount, takenBytes, droppedCount } = totals;
        const parts = [
          `${formatCount(takenCount, "block")} handed to the cache (${formatSize(takenBytes)})`,
        ];
        if (droppedCount > 0) parts.push(`${droppedCount} of them removed, for lack of room there`);
        if (found.namedCount > 0) parts.push(`${found.namedCount} needed by other lists`);
        if (claimedCount > 0) parts.push(`${claimedCount} in use by running commands`);
        log.info(parts.join(", "));
        if (args.json === true) {
          await writeJson({
            blockCount: unpinned.hashes.size,
            unpinnedCount: takenCount,
            unpinnedBytes: takenBytes,
            droppedCount,
            neededCount: found.namedCount,
            claimedCount,
          });
        }
      } finally {
        sweep.close();
      }
    } finally {
      await store.close();
    }
  },
});

/** The lists as they come, and their files noted, so that they are told from others. */
async function* noting(
  lists: AsyncIterable<FoundList>,
  realPaths: Set<string>,
): AsyncGenerator<FoundList> {
  for await (const found of lists) {
    realPaths.add(found.realPath);
    yield found;
  }
}

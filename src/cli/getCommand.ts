/** `psync get`: the blocks of lists, kept in the store. */
import { formatCount, formatSize } from "../core/bytes.js";
import { LIMITS } from "../core/limits.js";
import { systemClock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { createExplainer } from "./explain.js";
import { readInputLists } from "./inputLists.js";
import { writeJson } from "./output.js";
import { createProgress } from "./progress.js";
import { hashSeeds } from "./hashSeeds.js";
import { defineCommand, limitRateOption, seedOption, serverOption } from "./run.js";

export const getCommand = defineCommand({
  command: "get [source..]",
  describe: "Fetch the blocks of lists and keep them",
  builder: (args) =>
    args
      .positional("source", {
        type: "string",
        array: true,
        default: [] as string[],
        describe:
          "servers (http://…, https://… or HOST:PORT) and hashlist files, in any order [stdin]",
      })
      .option("server", serverOption)
      .option("limit-rate", limitRateOption)
      .option("seed", seedOption)
      .option("force", { type: "boolean", describe: "fetch also the blocks that are there" })
      .option("explain", {
        type: "boolean",
        describe: "say of each fetched block which servers were asked and what each did",
      })
      .option("json", { type: "boolean", describe: "say what was done as JSON, on stdout" })
      .example("psync get http://localhost:8000 disk.iso.hashlist", "then `psync glue`")
      .example(
        "psync get --seed old.iso http://localhost:8000 new.iso.hashlist",
        "only what differs",
      )
      .example("psync get http://a:8000 http://b:8000 < disk.iso.hashlist", "from two at once"),
  run: async (args, { settings, log, signal }) => {
    const isServer = (source: string): boolean =>
      /^[a-z][a-z0-9+.-]*:\/|^([^/@\s]+@)?[\w.-]+:\d+(\/|$)/i.test(source);
    const servers = await settings.servers(args.source.filter(isServer));
    const limitBytesPerSecond = await settings.limitBytesPerSecond();
    const seeds = await settings.seeds();
    if (servers.length === 0 && seeds.length === 0) {
      throw new PsyncError("ERR_PSYNC_USAGE", "there is no server to get blocks from", {
        hint: "name one: psync get http://server.example:8000 LIST",
      });
    }
    const { createServers, openLocalStore } = await import("../compose.js");
    const { getBlocks, unavailableBlocks } = await import("../transfer/getBlocks.js");
    const patienceMs = LIMITS.fetch.getPatienceMs;
    const lists = await readInputLists(
      args.source.filter((text) => !isServer(text)),
      { log, signal },
    );
    const store = await openLocalStore({ storePath: settings.storePath, log }, "write");
    const quietly = args.quiet === true;
    const explainer = args.explain === true ? createExplainer(log) : undefined;
    const source = createServers({
      servers,
      log,
      patienceMs,
      limitBytesPerSecond,
      records: store.servers,
      explain: explainer?.explain,
    });
    const total = lists.reduce((sum, { list }) => sum + list.blockCount, 0);
    // A bar would stand in the middle of the lines.
    const quiet = quietly || explainer !== undefined;
    try {
      if (seeds.length > 0 && args.force !== true) {
        for (const { list } of lists) store.seeds.lookFor(list.blockSizeBytes);
        await store.seeds.use(seeds);
        await hashSeeds(store.seeds, { signal, quiet: quietly, listed: false });
      }
      const progress = createProgress({ label: "get", total, quiet });
      const totals = await getBlocks(lists, {
        store: store.blocks,
        source,
        clock: systemClock,
        signal,
        force: args.force === true,
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
          (seeds.length > 0 ? `${seedCount} from seeds, ` : "") +
          `${fetchedCount} fetched (${formatSize(fetchedBytes)}), ${lackingCount} missing`,
      );
      if (args.json === true) {
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
      if (lackingCount > 0) throw unavailableBlocks(totals);
    } finally {
      await source.close();
      await store.close();
    }
  },
});

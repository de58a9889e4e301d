/** `psync serve`: the store's blocks over HTTP, and with `--server` those of others too. */
import { systemClock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { closeInTime } from "./closeInTime.js";
import { writeOut } from "./output.js";
import { cacheSizeOption, defineCommand, minFreeOption, serverOption } from "./run.js";

export const serveCommand = defineCommand({
  command: ["serve [address]", "up [address]"],
  describe: "Serve the store's blocks over HTTP",
  builder: (args) =>
    args
      .positional("address", {
        type: "string",
        describe: "HOST:PORT, a host or a port [localhost:8000]",
      })
      .option("server", {
        ...serverOption,
        // Those that are configured are for reading: they must not make every server one that fetches for strangers.
        describe: "fetch what the store lacks from this server, and cache it; repeatable",
      })
      .option("cache-size", cacheSizeOption)
      .option("min-free", minFreeOption)
      .example("psync serve", "for this machine, at port 8000")
      .example("psync serve 0.0.0.0:8000", "for everybody who can reach this machine")
      .example("psync serve :8000 --server http://far.example:8000", "a cache near the readers"),
  run: async (args, { settings, log, signal }) => {
    const { createPullThrough, createServers, openLocalStore } = await import("../compose.js");
    const { createBlockServer } = await import("../server/blockServer.js");
    const { parseServerAddress } = await import("../server/serverAddress.js");
    const address = parseServerAddress(args.address);
    const upstream = args.server;
    if (args.cacheSize !== undefined && !upstream) throw nothingToCache("--cache-size");
    if (args.minFree !== undefined && !upstream) throw nothingToCache("--min-free");
    const { storePath } = settings;
    const cacheQuotaBytes = upstream && (await settings.cacheQuotaBytes());
    const minFree = upstream && (await settings.minFree());
    const patienceMs = LIMITS.server.pullPatienceMs;
    const upstreamServers = upstream && (await settings.servers());
    const access = upstream ? "cache" : "read";
    const store = await openLocalStore({ storePath, cacheQuotaBytes, minFree, log }, access);
    const records = store.servers;
    const servers =
      upstreamServers && createServers({ servers: upstreamServers, log, patienceMs, records });
    store.seeds.hashBehind();
    const pullThrough = servers && createPullThrough({ store: store.blocks, servers, log });
    try {
      const blocks = store.blocks;
      const server = createBlockServer({ store: blocks, pullThrough, log, clock: systemClock });
      const { urls } = await server.listen(address);
      await writeOut(urls.map((url) => `${url}\n`).join(""));
      if (servers) {
        const names = servers.status().map((status) => status.server);
        log.info(`what is not in the store is fetched from ${names.join(", ")}`);
      }
      log.info(`serving ${storePath}; Ctrl-C ends it`);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => {
          resolve();
        });
      });
      await server.close();
    } finally {
      await closeInTime(async () => {
        await pullThrough?.close();
        await store.close();
      }, log);
    }
  },
});

function nothingToCache(option: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", "without --server nothing is cached", {
    hint: `leave ${option} out, or name a server to fetch from: --server URL`,
  });
}

/** `psync serve`: the store's blocks over HTTP. */
import { systemClock } from "../core/clock.js";
import { writeOut } from "./output.js";
import { defineCommand } from "./run.js";

export const serveCommand = defineCommand({
  command: ["serve [address]", "up [address]"],
  describe: "Serve the store's blocks over HTTP",
  builder: (args) =>
    args
      .positional("address", {
        type: "string",
        describe: "HOST:PORT, a host or a port [localhost:8000]",
      })
      .example("psync serve", "for this machine, at port 8000")
      .example("psync serve 0.0.0.0:8000", "for everybody who can reach this machine"),
  run: async (args, { settings, log, signal }) => {
    const { openLocalStore } = await import("../compose.js");
    const { createBlockServer } = await import("../server/blockServer.js");
    const { parseServerAddress } = await import("../server/serverAddress.js");
    const address = parseServerAddress(args.address);
    const store = await openLocalStore({ storePath: settings.storePath, log }, "read");
    try {
      const server = createBlockServer({ store: store.blocks, log, clock: systemClock });
      const { urls } = await server.listen(address);
      await writeOut(urls.map((url) => `${url}\n`).join(""));
      log.info(`serving ${settings.storePath}; Ctrl-C ends it`);
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          resolve();
        });
      });
      await server.close();
    } finally {
      await store.close();
    }
  },
});

/** `psync servers`: what is remembered of servers, and how it is forgotten. Asks no server anything. */
import { PsyncError } from "../core/errors.js";
import { writeJson, writeOut } from "./output.js";
import { defineCommand, serverOption, type CommandContext } from "./run.js";
import { formatServers, serverRows } from "./serverTable.js";

export const serversCommand = defineCommand({
  command: "servers",
  describe: "Show how fast and how good servers were, and which are banned",
  builder: (args) =>
    args
      .option("server", serverOption)
      .option("forget", {
        type: "string",
        array: true,
        requiresArg: true,
        describe:
          "forget what is remembered of these servers, so that a ban ends; a mount that runs keeps its own memory",
      })
      .option("json", { type: "boolean", describe: "as JSON" })
      .example("psync servers", "those that are configured, then others that were asked")
      .example("psync servers --forget http://a:8000", "it was mended: ask it again"),
  run: async (args, context) => {
    if (args.forget) await forget(args.forget, args.json === true, context);
    else await show(args.json === true, context);
  },
});

async function show(asJson: boolean, { settings, log }: CommandContext): Promise<void> {
  const configured = (await settings.servers()).map(({ url }) => url.display);
  const { openLocalStore } = await import("../compose.js");
  const store = await openLocalStore({ storePath: settings.storePath, log }, "read");
  try {
    const nowUnixMs = Date.now();
    const rows = serverRows({ configured, records: store.servers.load(), nowUnixMs });
    if (asJson) await writeJson(rows);
    else if (rows.length > 0) await writeOut(formatServers(rows, nowUnixMs));
    else await writeOut(NOTHING);
  } finally {
    await store.close();
  }
}

const NOTHING =
  "no server is configured, and none was asked before; name one with --server, in PSYNC_SERVERS or in config.json\n";

async function forget(
  addresses: readonly string[],
  asJson: boolean,
  { settings, log }: CommandContext,
): Promise<void> {
  const { openLocalStore, serverName } = await import("../compose.js");
  const names = [...new Set(addresses.map(serverName))];
  const store = await openLocalStore({ storePath: settings.storePath, log }, "write");
  try {
    const forgotten = await store.servers.forget(names);
    if (!forgotten) {
      const problem = `nothing was forgotten: the index of the store ${store.path} does not answer`;
      throw new PsyncError("ERR_PSYNC_STORE", problem, { hint: "try again" });
    }
    for (const name of names) {
      const isForgotten = forgotten.includes(name);
      log.info(
        isForgotten
          ? `${name} is forgotten; a mount that runs keeps its own memory until it ends`
          : `nothing is remembered of ${name}`,
      );
    }
    if (asJson) await writeJson({ forgotten });
  } finally {
    await store.close();
  }
}

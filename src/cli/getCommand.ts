/** `psync get`: the blocks of lists, kept in the store. */
import { PsyncError } from "../core/errors.js";
import { sayingWhatIsKept } from "./fullDisk.js";
import { readInputLists } from "./inputLists.js";
import { keepLists } from "./keepLists.js";
import { defineCommand, explainOption, limitRateOption, seedOption, serverOption } from "./run.js";

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
      .option("explain", explainOption)
      .option("json", { type: "boolean", describe: "say what was done as JSON, on stdout" })
      .example("psync get http://localhost:8000 disk.iso.hashlist", "then `psync glue`")
      .example(
        "psync get --seed old.iso http://localhost:8000 new.iso.hashlist",
        "only what differs",
      )
      .example("psync get http://a:8000 http://b:8000 < disk.iso.hashlist", "from two at once"),
  run: async (args, context) => {
    const isServer = (source: string): boolean =>
      /^[a-z][a-z0-9+.-]*:\/|^([^/@\s]+@)?[\w.-]+:\d+(\/|$)/i.test(source);
    const servers = await context.settings.servers(args.source.filter(isServer));
    const seeds = await context.settings.seeds();
    if (servers.length === 0 && seeds.length === 0) {
      throw new PsyncError("ERR_PSYNC_USAGE", "there is no server to get blocks from", {
        hint: "name one: psync get http://server.example:8000 LIST",
      });
    }
    const lists = await readInputLists(
      args.source.filter((text) => !isServer(text)),
      context,
    );
    const options = {
      label: "get",
      servers,
      force: args.force === true,
      explain: args.explain === true,
      json: args.json === true,
      quiet: args.quiet === true,
    };
    await sayingWhatIsKept(() => keepLists(lists, context, options));
  },
});

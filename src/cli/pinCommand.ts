/** `psync pin`: every block of lists is kept, moved from the cache, copied from a seed, or fetched. */
import { findLists } from "../hashlist/findLists.js";
import type { NamedList } from "../transfer/getBlocks.js";
import { sayingWhatIsKept } from "./fullDisk.js";
import { keepLists } from "./keepLists.js";
import {
  defineCommand,
  explainOption,
  limitRateOption,
  listsOption,
  seedOption,
  serverOption,
} from "./run.js";

export const pinCommand = defineCommand({
  command: "pin <list..>",
  describe: "Keep all blocks of lists, so that they are not evicted; fetch what lacks",
  builder: (args) =>
    args
      .positional("list", { ...listsOption, demandOption: true })
      .option("server", serverOption)
      .option("limit-rate", limitRateOption)
      .option("seed", seedOption)
      .option("explain", explainOption)
      .option("json", { type: "boolean", describe: "say what was done as JSON, on stdout" })
      .example("psync pin lists/disk.iso.hashlist", "what was read of it through a mount stays")
      .example("psync pin lists/ --server http://localhost:8000", "every list of a folder"),
  run: async (args, context) => {
    const { settings, signal } = context;
    // What is in the cache or in a seed needs no server, so that none has to be named.
    const servers = await settings.servers();
    const lists: NamedList[] = [];
    for await (const { path, list } of findLists(args.list, { signal })) {
      lists.push({ name: path, list });
    }
    const options = {
      label: "pin",
      servers,
      force: false,
      explain: args.explain === true,
      json: args.json === true,
      quiet: args.quiet === true,
    };
    await sayingWhatIsKept(() => keepLists(lists, context, options));
  },
});

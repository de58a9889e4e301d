/** `psync glue`: the file, from the store. */
import { PsyncError } from "../core/errors.js";
import { hashSeeds } from "./hashSeeds.js";
import { readInputLists } from "./inputLists.js";
import { writeOut } from "./output.js";
import { createProgress } from "./progress.js";
import { defineCommand } from "./run.js";

export const glueCommand = defineCommand({
  command: "glue [list]",
  describe: "Put a file together from blocks of the store, verified",
  builder: (args) =>
    args
      .positional("list", { type: "string", describe: "a hashlist file [stdin]" })
      .option("output", {
        alias: "o",
        type: "string",
        requiresArg: true,
        describe: "the file to write, whole or not at all [stdout]",
      })
      .option("verify", { type: "boolean", describe: "always so; accepted for old scripts" })
      .example(
        "psync glue disk.iso.hashlist -o disk.iso",
        "after `psync get URL disk.iso.hashlist`",
      )
      .example("psync glue < disk.iso.hashlist | sha256sum", "without a copy"),
  run: async (args, { settings, log, signal }) => {
    const [named] = await readInputLists(args.list === undefined ? [] : [args.list], {
      log,
      signal,
    });
    if (!named) throw new PsyncError("ERR_PSYNC_USAGE", "there is no list");
    const { list } = named;
    const { openLocalStore } = await import("../compose.js");
    const { createStoreSource } = await import("../source/storeOnly.js");
    const { glue, glueToFile } = await import("../transfer/glueFile.js");
    const { listInfo } = await import("../transfer/listInfo.js");
    const store = await openLocalStore({ storePath: settings.storePath, log }, "read");
    const toFile = args.output !== undefined;
    const quiet = args.quiet === true || (!toFile && process.stdout.isTTY);
    const progress = createProgress({ label: "glue", total: list.blockCount, quiet });
    let doneCount = 0;
    let doneBytes = 0;
    const parts = {
      list,
      store: store.blocks,
      source: createStoreSource(store.blocks),
      signal,
      onBytes: (sizeBytes: number) => {
        doneCount += 1;
        doneBytes += sizeBytes;
        progress.update(doneCount, doneBytes);
      },
    };
    try {
      const { missingCount } = await listInfo(list, { store: store.blocks, sizes: store.sizes });
      // They may lie in files that were exported in place, and the index was lost.
      if (missingCount > 0) await hashSeeds(store.seeds, { signal, quiet, listed: true });
      if (args.output === undefined) await glue(parts, writeOut);
      else await glueToFile(parts, args.output);
    } finally {
      progress.end();
      await store.close();
    }
  },
});

/** `psync cat`: one block, verified. */
import { parseBlockHash } from "../block/hash.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { hashSeeds } from "./hashSeeds.js";
import { writeOut } from "./output.js";
import { defineCommand } from "./run.js";

export const catCommand = defineCommand({
  command: "cat <hash>",
  describe: "Write one block of the store to stdout, verified",
  builder: (args) =>
    args
      .positional("hash", { type: "string", demandOption: true, describe: "64 hex digits" })
      .option("verify", { type: "boolean", describe: "always so; accepted for old scripts" })
      .example(
        "psync cat $(head -n 1 disk.iso.hashlist) | xxd | head",
        "look at the first block of a file",
      ),
  run: async (args, { settings, log, signal }) => {
    const hash = parseBlockHash(args.hash);
    if (!hash) {
      throw new PsyncError("ERR_PSYNC_USAGE", `not a block's name: ${JSON.stringify(args.hash)}`, {
        hint: "a block is named by 64 hex digits",
      });
    }
    const { openLocalStore } = await import("../compose.js");
    const { createStoreSource } = await import("../source/storeOnly.js");
    const store = await openLocalStore({ storePath: settings.storePath, log }, "read");
    try {
      const source = createStoreSource(store.blocks);
      // It may lie in a file that was exported in place, and the index was lost.
      if ((await store.blocks.find(hash)) === undefined) {
        await hashSeeds(store.seeds, { signal, quiet: args.quiet === true, listed: true });
      }
      const block = await source.fetch({ hash, maxBytes: LIMITS.block.maxSizeBytes, signal });
      await writeOut(block.bytes);
    } finally {
      await store.close();
    }
  },
});

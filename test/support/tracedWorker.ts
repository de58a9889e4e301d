/**
 * A process that loads all it needs, says `ready`, and does its work when it is told to on stdin: whoever traces it
 * sees the calls of the work alone. Its exit status is what psync's would be.
 *
 * Arguments: `cli`, then psync's; or `cache STORE QUOTA_BYTES`, which caches six blocks, reads them, and closes the store.
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import { main } from "../../src/cli/main.js";
import { exitStatusOf, showError } from "../../src/cli/output.js";
import { systemClock } from "../../src/core/clock.js";
import { createLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { seededBlock } from "./blocks.js";
import "../../src/compose.js";
import "../../src/transfer/affectedLists.js";
import "../../src/transfer/exportFile.js";
import "../../src/transfer/exportPaths.js";
import "../../src/transfer/getBlocks.js";
import "../../src/transfer/keptBlocks.js";

const [task = "", ...args] = process.argv.slice(2);

async function cacheAndRead(path: string, cacheQuotaBytes: number): Promise<void> {
  const log = createLogger((level, message) => {
    process.stderr.write(`psync: ${level}: ${message}\n`);
  }, "warn");
  const store = await openStore({ path, clock: systemClock, log, cacheQuotaBytes });
  const blocks = Array.from({ length: 6 }, (_, nth) => seededBlock(`traced ${nth}`));
  let failure: unknown;
  for (const block of blocks) {
    // As behind a mount: a block that cannot be cached is one that is not cached.
    await store.blocks.cache(block).catch((error: unknown) => (failure ??= error));
    const read = await store.blocks.read(block.hash).catch((error: unknown) => {
      failure ??= error;
    });
    if (read && Buffer.compare(read.bytes, block.bytes) !== 0) throw new Error("wrong bytes");
  }
  await store.close();
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error("no error");
}

async function run(): Promise<number> {
  if (task === "cli") return main(args);
  const [path = "", quota = "0"] = args;
  try {
    await cacheAndRead(path, Number(quota));
    return 0;
  } catch (error) {
    showError(error, { quiet: false });
    return exitStatusOf(error);
  }
}

// What the command line reads of itself, once and for all.
createRequire(import.meta.url)("../../../package.json");
process.stdout.write("ready\n");
await once(process.stdin, "data");
process.stdin.destroy();
process.exit(await run());

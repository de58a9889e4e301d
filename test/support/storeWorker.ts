/** A process of its own over a store, told by its arguments what to do: `fill`, `keep`, `keep twice`, `restore, then keep`, `sync`, `claim and wait`, `sweep` or `pin`. */
import { systemClock } from "../../src/core/clock.js";
import { errorMessage } from "../../src/core/errors.js";
import { inParallel } from "../../src/core/inParallel.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { makeBlock } from "./storeFixtures.js";

const [task = "", path = "", firstText = "0", countText = "0", quotaText = "0"] =
  process.argv.slice(2);
const [first, count, quotaBytes] = [firstText, countText, quotaText].map(Number);

async function main(): Promise<void> {
  const store = await openStore({
    path,
    clock: systemClock,
    log: silentLogger,
    ...(quotaText === "0" ? {} : { cacheQuotaBytes: quotaBytes }),
  });
  const blocks = Array.from({ length: count ?? 0 }, (_, i) => makeBlock((first ?? 0) + i, 16_384));
  switch (task) {
    case "fill":
      // Every block twice, and some of the other process's: they read and evict one another's.
      await inParallel([...blocks, ...blocks], 4, async (block) => {
        await store.blocks.cache(block);
        await store.blocks.read(block.hash);
      });
      break;
    case "keep":
      await store.blocks.keep(blocks);
      break;
    case "sync":
      await store.blocks.sync(blocks.map(({ hash }) => hash));
      break;
    case "keep twice": {
      await store.blocks.keep(blocks).catch((error: unknown) => {
        process.stdout.write(`first: ${errorMessage(error)}\n`);
      });
      await store.blocks.keep(blocks).catch((error: unknown) => {
        process.stdout.write(`second: ${errorMessage(error)}\n`);
      });
      break;
    }
    case "claim and wait":
      await store.blocks.claim(blocks.map(({ hash }) => hash));
      process.stdout.write("claimed\n");
      // Until it is killed.
      setInterval(() => undefined, 60_000);
      return;
    case "sweep": {
      const sweep = await store.startSweep();
      const { signal } = new AbortController();
      await sweep.take(
        blocks.map(({ hash }) => hash),
        "nowhere",
        { signal },
      );
      sweep.close();
      break;
    }
    case "restore, then keep": {
      const [restored, ...others] = blocks;
      if (!restored) break;
      await store.restore(restored).catch((error: unknown) => {
        process.stdout.write(`first: ${errorMessage(error)}\n`);
      });
      await store.blocks.keep(others).catch((error: unknown) => {
        process.stdout.write(`second: ${errorMessage(error)}\n`);
      });
      break;
    }
    case "pin":
      for (const block of blocks) {
        await store.blocks.cache(block);
        await store.blocks.pin(block.hash);
      }
      break;
    default:
      throw new Error(`no such task: ${task}`);
  }
  await store.close();
}

await main();

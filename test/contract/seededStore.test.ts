/** A store with seeds beside it, held to the promises of every block store: seeds change nothing of what it holds. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { seededBytes } from "../support/blocks.js";
import { hashNow, writeSeed } from "../support/seeds.js";
import { flipBit } from "../support/storeFixtures.js";
import { describeBlockStore } from "./blockStore.js";

describeBlockStore("the file store with seeds", async () => {
  const folder = await mkdtemp(join(tmpdir(), "psync-seeded-"));
  const path = join(folder, "store");
  const seeds = join(folder, "seeds");
  await writeSeed(join(seeds, "file"), seededBytes("seeds", 100_000));
  return {
    open: async () => {
      const store = await openStore({ path, clock: systemClock, log: silentLogger });
      store.seeds.lookFor(4096);
      await store.seeds.use([seeds]);
      await hashNow(store);
      store.seeds.hashBehind();
      return store.blocks;
    },
    corrupt: async (hash) => {
      await Promise.any(["blocks", "cache"].map((place) => flipBit(join(path, place, hash))));
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});

/** The store on disk, held to the promises of every block store. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { flipBit } from "../support/storeFixtures.js";
import { describeBlockStore } from "./blockStore.js";

describeBlockStore("the file store", async () => {
  const path = await mkdtemp(join(tmpdir(), "psync-store-"));
  return {
    open: async () => (await openStore({ path, clock: systemClock, log: silentLogger })).blocks,
    corrupt: async (hash) => {
      await Promise.any(["blocks", "cache"].map((place) => flipBit(join(path, place, hash))));
    },
    dispose: () => rm(path, { recursive: true, force: true }),
  };
});

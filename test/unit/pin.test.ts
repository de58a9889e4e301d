/** A block that is pinned takes the cached file into blocks/, and never the place of one that is kept. */
import assert from "node:assert/strict";
import { lstat, writeFile } from "node:fs/promises";
import { it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { createBlockFinder } from "../../src/store/findBlocks.js";
import { createBlockKeeper } from "../../src/store/keepBlocks.js";
import { blockPath, storeLayout } from "../../src/store/layout.js";
import { openTempFiles } from "../../src/store/tempFiles.js";
import { makeBlock, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

it("KEEP-2: a pin leaves the file alone that another process keeps while the pin is under way", async (t) => {
  const layout = storeLayout(await tempFolder(t));
  const store = await openTestStore(t, layout.path);
  const block = makeBlock(1);
  const { hash, bytes } = block;
  const kept = blockPath(layout, "kept", hash);
  const finder = createBlockFinder({
    layout,
    clock: systemClock,
    log: silentLogger,
    leavesBad: false,
  });
  let keptInode = 0;
  const keeper = createBlockKeeper({
    layout,
    temp: await openTempFiles(layout.tmp, silentLogger),
    finder: {
      ...finder,
      async read(wanted) {
        const found = await finder.read(wanted);
        await store.blocks.keep([block]);
        keptInode = (await lstat(kept)).ino;
        // By a third one, who did not see it there yet.
        await writeFile(blockPath(layout, "cached", hash), bytes);
        return found;
      },
    },
    log: silentLogger,
    claim: () => Promise.resolve(),
    onUncached: () => undefined,
  });
  await store.blocks.cache(block);
  assert.equal(await keeper.pin(hash), true);
  assert.ok(keptInode > 0);
  assert.equal((await lstat(kept)).ino, keptInode);
});

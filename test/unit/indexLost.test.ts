/** An index that is deleted while a process has it open, or that fails while blocks are cached: what is cached is counted. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import Database from "better-sqlite3";
import { systemClock, type Clock } from "../../src/core/clock.js";
import { startModelProcess } from "../support/modelProcess.js";
import { problemsAfterStart, uncountedBlocks } from "../support/storeCheck.js";
import { modelBlock } from "../support/storeModel.js";
import { createLineLog, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const QUOTA_BYTES = 10 * 4096;

it("STORE-2: a new index does not meet what is left of the one that was deleted", async (t) => {
  const path = join(await tempFolder(t), "store");
  const other = await startModelProcess(t, path, QUOTA_BYTES);
  for (let number = 1; number <= 3; number += 1)
    await other.run({ kind: "cache", numbers: [number] });
  await rm(join(path, "index.db"));
  const log = createLineLog();
  const store = await openTestStore(t, path, { log, cacheQuotaBytes: QUOTA_BYTES });
  for (let number = 4; number <= 6; number += 1) await store.blocks.cache(modelBlock(number));
  for (let number = 7; number <= 9; number += 1)
    await other.run({ kind: "cache", numbers: [number] });
  await other.close();
  await store.close();
  assert.deepEqual(
    log.lines.filter((line) => line.startsWith("warn")),
    [],
  );
  const options = { quotaBytes: QUOTA_BYTES, killedCount: 0, largestBlockBytes: 20_000 };
  assert.deepEqual(await problemsAfterStart(path, options), []);
});

/** A thousand times as fast: whoever waits 5 s for another process waits 5 ms. */
const hurried: Clock = {
  nowMs: () => systemClock.nowMs() * 1000,
  after: (delayMs, callback) => systemClock.after(delayMs / 1000, callback),
};

it("STORE-3: what is cached while the index does not answer is counted by the next start", async (t) => {
  const path = join(await tempFolder(t), "store");
  const store = await openTestStore(t, path, { clock: hurried });
  const holder = new Database(join(path, "index.db"));
  holder.exec("BEGIN IMMEDIATE");
  await store.blocks.cache(modelBlock(1));
  await store.close();
  holder.exec("COMMIT");
  holder.close();
  assert.equal(uncountedBlocks(path).length, 1);
  const options = { quotaBytes: 1e9, killedCount: 0, largestBlockBytes: 20_000 };
  assert.deepEqual(await problemsAfterStart(path, options), []);
});

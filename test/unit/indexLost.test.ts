/** The index is deleted under a process that has it open; SQLite's log and shared memory of it stay behind. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { startModelProcess } from "../support/modelProcess.js";
import { problemsAfterStart } from "../support/storeCheck.js";
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

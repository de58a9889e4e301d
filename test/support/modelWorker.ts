/** One of the processes of the store's model test: it does what its parent says, and tells what came of it. */
import { systemClock } from "../../src/core/clock.js";
import { errorMessage, isPsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import type { BlockStore } from "../../src/block/ports.js";
import { openStore } from "../../src/store/openStore.js";
import { modelBlock, type ModelOp, type ModelResult } from "./storeModel.js";

const [path = "", quotaText = "0"] = process.argv.slice(2);

async function resultOf(store: BlockStore, op: ModelOp): Promise<ModelResult> {
  const blocks = op.numbers.map(modelBlock);
  const [first = modelBlock(0)] = blocks;
  switch (op.kind) {
    case "keep":
      await store.keep(blocks);
      return "done";
    case "sync":
      await store.sync(blocks.map(({ hash }) => hash));
      return "done";
    case "cache":
      await store.cache(first);
      return "done";
    case "pin":
      return (await store.pin(first.hash)) ? "done" : "absent";
    case "find": {
      const found = await store.find(first.hash);
      if (!found) return "absent";
      // It has no seeds.
      if (found.place === "seed") return "wrong";
      return found.sizeBytes === first.bytes.length ? found.place : "wrong";
    }
    case "read": {
      const read = await store.read(first.hash);
      if (!read) return "absent";
      return Buffer.compare(read.bytes, first.bytes) === 0 ? "right" : "wrong";
    }
  }
}

const store = await openStore({
  path,
  clock: systemClock,
  log: silentLogger,
  cacheQuotaBytes: Number(quotaText),
});
process.on("message", (message: { readonly id: number; readonly op?: ModelOp }) => {
  const { id, op } = message;
  const answer = (result: ModelResult): void => void process.send?.({ id, result });
  if (op === undefined) {
    void store.close().then(() => {
      process.disconnect();
    });
    return;
  }
  resultOf(store.blocks, op).then(answer, (error: unknown) => {
    answer(isPsyncError(error, "ERR_PSYNC_STORE") ? "refused" : `threw: ${errorMessage(error)}`);
  });
});
process.send?.({ id: 0, result: "done" });

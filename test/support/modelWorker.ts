/** One of the processes of the store's model test: it does what its parent says, and tells what came of it. */
import { systemClock } from "../../src/core/clock.js";
import { errorMessage, isPsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import type { SweepTo } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { openStore, type Store } from "../../src/store/openStore.js";
import type { ModelMessage } from "./modelProcess.js";
import { modelBlock, type ModelOp, type ModelResult } from "./storeModel.js";

const [path = "", quotaText = "0"] = process.argv.slice(2);

const { signal } = new AbortController();

async function resultOf(opened: Store, op: ModelOp): Promise<ModelResult> {
  const store = opened.blocks;
  const blocks = op.numbers.map(modelBlock);
  const [first = modelBlock(0)] = blocks;
  switch (op.kind) {
    case "keep":
      await store.keep(blocks);
      return "done";
    case "sync":
      await store.sync(blocks.map(({ hash }) => hash));
      return "done";
    case "claim":
      await store.claim(blocks.map(({ hash }) => hash));
      return "done";
    case "gc":
      return sweep(opened, blocks, "nowhere");
    case "unpin":
      return sweep(opened, blocks, "cache");
    case "repair":
      return repair(opened);
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

async function sweep(opened: Store, blocks: VerifiedBlock[], to: SweepTo): Promise<ModelResult> {
  const started = await opened.startSweep();
  try {
    const hashes = blocks.map(({ hash }) => hash);
    await started.take(hashes, to, { signal });
  } finally {
    started.close();
  }
  return "done";
}

/** Nothing is damaged, so there is nothing to repair, whatever others do meanwhile. */
async function repair(opened: Store): Promise<ModelResult> {
  const { checkLocalStore } = await import("../../src/compose.js");
  const parts = { store: opened, source: undefined, log: silentLogger };
  const options = { repair: true, jobs: 2, restart: true, signal };
  const { problems, strangeNames } = await checkLocalStore(parts, options);
  if (problems.length + strangeNames.length === 0) return "done";
  return `threw: ${JSON.stringify([...problems, ...strangeNames])}`;
}

const open = (): Promise<Store> =>
  openStore({
    path,
    clock: systemClock,
    log: silentLogger,
    cacheQuotaBytes: Number(quotaText),
  });

let store = await open();

async function reopen(): Promise<ModelResult> {
  await store.close();
  store = await open();
  return "done";
}

process.on("message", ({ id, op }: ModelMessage) => {
  const answer = (result: ModelResult): void => void process.send?.({ id, result });
  if (op === "close") {
    void store.close().then(() => {
      process.disconnect();
    });
    return;
  }
  (op === "reopen" ? reopen() : resultOf(store, op)).then(answer, (error: unknown) => {
    answer(isPsyncError(error, "ERR_PSYNC_STORE") ? "refused" : `threw: ${errorMessage(error)}`);
  });
});
process.send?.({ id: 0, result: "done" });

/** A process over a store that does single operations when it is told to, and can be killed in the middle of one. */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import type { ModelOp, ModelResult } from "./storeModel.js";

const WORKER = fileURLToPath(new URL("modelWorker.js", import.meta.url));

/** What it is told; it answers with the id. */
export interface ModelMessage {
  readonly id: number;
  readonly op: ModelOp | "reopen" | "close";
}

export interface ModelProcess {
  /** @returns undefined where it was killed before it answered */
  run(op: ModelOp): Promise<ModelResult | undefined>;
  kill(): Promise<void>;
  /** Closes its store, which gives up its claims, and opens it again. */
  reopen(): Promise<void>;
  /** Closes its store and ends. */
  close(): Promise<void>;
}

/** Starts one, and waits until its store is open. It is killed when the test ends. */
export async function startModelProcess(
  t: CleanUpContext,
  store: string,
  quotaBytes: number,
): Promise<ModelProcess> {
  const child: ChildProcess = fork(WORKER, [store, String(quotaBytes)]);
  cleanUp(t, () => child.kill("SIGKILL"));
  const ended = once(child, "exit");
  const waiting = new Map<number, (result: ModelResult | undefined) => void>();
  let lastId = 0;
  await once(child, "message");
  child.on("message", ({ id, result }: { readonly id: number; readonly result: ModelResult }) => {
    waiting.get(id)?.(result);
  });
  void ended.then(() => {
    for (const resolve of waiting.values()) resolve(undefined);
  });
  const send = (message: ModelMessage): void => void child.send(message);
  const run = (op: ModelMessage["op"]): Promise<ModelResult | undefined> =>
    new Promise((resolve) => {
      lastId += 1;
      waiting.set(lastId, resolve);
      send({ id: lastId, op });
    });
  return {
    run,
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    async reopen() {
      assert.equal(await run("reopen"), "done");
    },
    async close() {
      send({ id: 0, op: "close" });
      await ended;
    },
  };
}

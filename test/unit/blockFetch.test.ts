import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { abortReason, orAbort } from "../../src/core/abort.js";
import { isPsyncError } from "../../src/core/errors.js";
import { LIMITS } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import type { HttpServer } from "../../src/fetch/httpServer.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { seededBlock } from "../support/blocks.js";
import { createManualClock } from "../support/manualClock.js";
import { createLineLog } from "../support/storeFixtures.js";

const block = seededBlock("a", 3000);
const MIB = 1 << 20;

/** A server that never ends an answer, and says how many requests wait for one. */
function endless(name: string) {
  let waiting = 0;
  const server: HttpServer = {
    name,
    async fetchBytes({ signal }, onReceived) {
      waiting += 1;
      onReceived?.(0);
      try {
        return await orAbort(new Promise<never>(() => undefined), signal);
      } finally {
        waiting -= 1;
      }
    },
    close: () => Promise.resolve(),
  };
  return { server, waiting: () => waiting };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("a fetch whose servers never end", () => {
  it("FETCH-1: ends all the same, and leaves nothing under way", async () => {
    const clock = createManualClock();
    const servers = [endless("a"), endless("b"), endless("c")];
    const set = createServerSet({
      servers: servers.map(({ server }) => server),
      clock,
      log: silentLogger,
      patienceMs: LIMITS.fetch.getPatienceMs,
    });
    const request = { hash: block.hash, maxBytes: 2 * MIB, signal: new AbortController().signal };
    let error: unknown;
    void set.fetch(request).catch((thrown: unknown) => {
      error = thrown;
    });
    const lastMs =
      LIMITS.fetch.getPatienceMs + (request.maxBytes * 1000) / LIMITS.fetch.slowBytesPerSecond;
    for (let stepMs = 0; stepMs < lastMs; stepMs += 500) {
      await turns();
      assert.equal(error, undefined, `at ${stepMs} ms`);
      assert.ok(servers.reduce((sum, { waiting }) => sum + waiting(), 0) <= 2);
      clock.advance(500);
    }
    await turns();
    assert.ok(isPsyncError(error, "ERR_PSYNC_BLOCK_UNAVAILABLE"));
    for (const { waiting } of servers) assert.equal(waiting(), 0);
    for (const { requestsUnderWay } of set.status()) assert.equal(requestsUnderWay, 0);
    await set.close();
  });

  it("ends at once when nobody wants it any more", async () => {
    const { server, waiting } = endless("a");
    const set = createServerSet({
      servers: [server],
      clock: createManualClock(),
      log: silentLogger,
    });
    const controller = new AbortController();
    const fetching = set.fetch({ hash: block.hash, maxBytes: MIB, signal: controller.signal });
    fetching.catch(() => undefined);
    await turns();
    assert.equal(waiting(), 1);
    controller.abort(new Error("gone"));
    await assert.rejects(fetching, abortReason(controller.signal));
    await turns();
    assert.equal(waiting(), 0);
    assert.equal(set.status()[0]?.requestsUnderWay, 0);
    await set.close();
  });

  it("SERVERS-3: tells what each server did also when it is ended", async () => {
    const { server } = endless("a");
    const clock = createManualClock();
    const told: (readonly string[])[] = [];
    const log = createLineLog();
    const set = createServerSet({
      servers: [server],
      clock,
      log,
      explain: (_hash, lines) => told.push(lines),
    });
    const controller = new AbortController();
    const fetching = set.fetch({ hash: block.hash, maxBytes: MIB, signal: controller.signal });
    await turns();
    clock.advance(700);
    controller.abort(new Error("gone"));
    await assert.rejects(fetching, abortReason(controller.signal));
    await turns();
    assert.deepEqual(told, [["a: given up after 700 ms"]]);
    assert.deepEqual(log.lines, [`debug a: given up after 700 ms (block ${block.hash})`]);
    await set.close();
  });
});

describe("FETCH-2: a lie that comes in the turn of the right block", () => {
  it("is not forgotten", async () => {
    const clock = createManualClock();
    const answers = new Map<string, (bytes: Uint8Array) => void>();
    const answering = (name: string): HttpServer => ({
      name,
      fetchBytes: () =>
        new Promise((resolve) => {
          answers.set(name, (bytes) => {
            resolve({ type: "bytes", bytes, endMarked: true });
          });
        }),
      close: () => Promise.resolve(),
    });
    const servers = ["honest", "liar"].map(answering);
    const set = createServerSet({ servers, clock, log: silentLogger });
    const { signal } = new AbortController();
    const fetching = set.fetch({ hash: block.hash, maxBytes: MIB, signal });
    await turns();
    clock.advance(LIMITS.fetch.raceFirstMs);
    await turns();
    assert.equal(answers.size, 2);
    answers.get("liar")?.(new Uint8Array(3000));
    answers.get("honest")?.(block.bytes);
    assert.equal((await fetching).hash, block.hash);
    assert.deepEqual(
      set.status().map(({ state }) => state),
      ["ready", "banned"],
    );
    await set.close();
  });
});

describe("RACE-1: a block that may be far longer than it is", () => {
  it("is late when one of the length that is expected would be", async () => {
    const clock = createManualClock();
    const blocks = Array.from({ length: 20 }, (_none, nth) => seededBlock(`quick ${nth}`, 2 * MIB));
    const stalled = endless("");
    const quick = (name: string): HttpServer => ({
      ...stalled.server,
      name,
      async fetchBytes(request, onReceived) {
        const asked = blocks.find(({ hash }) => hash === request.hash);
        if (!asked) return stalled.server.fetchBytes(request);
        await new Promise<void>((resolve) => clock.after(10, resolve));
        onReceived?.(0);
        await new Promise<void>((resolve) => clock.after(190, resolve));
        onReceived?.(asked.bytes.length);
        return { type: "bytes", bytes: asked.bytes, endMarked: true };
      },
    });
    const servers = ["a", "b"].map(quick);
    const set = createServerSet({ servers, clock, log: silentLogger });
    const { signal } = new AbortController();
    const request = { maxBytes: 64 * MIB, expectedBytes: 2 * MIB, signal };
    for (const { hash } of blocks) {
      const fetching = set.fetch({ ...request, hash });
      await turns();
      clock.advance(10);
      await turns();
      clock.advance(190);
      await fetching;
    }
    const fetching = set.fetch({ ...request, hash: block.hash });
    fetching.catch(() => undefined);
    await turns();
    clock.advance(400);
    await turns();
    assert.equal(stalled.waiting(), 2);
    await set.close();
  });
});

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { blockOf } from "../../src/block/verify.js";
import { LIMITS } from "../../src/core/limits.js";
import { createRateLimiter } from "../../src/core/rateLimiter.js";
import { createAhead } from "../../src/core/urgency.js";
import { createHttpServer, type HttpServer } from "../../src/fetch/httpServer.js";
import type { FetchOutcome } from "../../src/fetch/outcome.js";
import { parseServer } from "../../src/fetch/serverSettings.js";
import { seededBlock, seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { startHonestServer } from "../support/honestServer.js";
import { createManualClock, type ManualClock } from "../support/manualClock.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const MIB = 1024 ** 2;
/** What one socket gives at once, and a little. */
const CHUNK_BYTES = 128 * 1024;

/** Moves the clock on while real bytes come, until the work is done. @returns what it came to */
async function drive<T>(clock: ManualClock, stepMs: number, work: Promise<T>): Promise<T> {
  let isDone = false;
  void work.finally(() => (isDone = true));
  await until("it is done", () => {
    clock.advance(stepMs);
    return isDone;
  });
  return work;
}

function limitedServers(
  context: TestContext,
  urls: readonly string[],
  { bytesPerSecond, clock }: { readonly bytesPerSecond: number; readonly clock: ManualClock },
): HttpServer[] {
  const rateLimiter = createRateLimiter({ bytesPerSecond, clock });
  return urls.map((url) => {
    const parts = { clock, limits: LIMITS.fetch, rateLimiter };
    const server = createHttpServer(parseServer(url), parts);
    cleanUp(context, () => server.close());
    return server;
  });
}

function assertBytes(outcome: FetchOutcome, bytes: Uint8Array): void {
  if (outcome.type !== "bytes") assert.fail(JSON.stringify(outcome));
  assert.ok(Buffer.from(outcome.bytes).equals(bytes));
}

describe("a limited rate", () => {
  it("RATE-1: 2 MiB at 50 kB/s come no faster, from two servers together, and neither counts as slow", async (t) => {
    const bytesPerSecond = 50_000;
    const block = seededBlock("slow", 2 * MIB);
    const clock = createManualClock();
    const honest = [await startHonestServer([block]), await startHonestServer([block])];
    for (const server of honest) cleanUp(t, () => server.close());
    const urls = honest.map(({ url }) => url);
    const received = [0, 0];
    const servers = limitedServers(t, urls, { bytesPerSecond, clock });
    const fetching = servers.map((server, index) =>
      server.fetchBytes(
        { hash: block.hash, maxBytes: 2 * MIB, signal: new AbortController().signal },
        (receivedBytes) => {
          received[index] = receivedBytes;
          const sumBytes = received.reduce((sum, one) => sum + one, 0);
          const mostBytes = (bytesPerSecond * (clock.nowMs() + LIMITS.rate.burstMs)) / 1000;
          // Each connection holds one chunk that is not paid for yet.
          assert.ok(sumBytes <= mostBytes + 3 * CHUNK_BYTES, `${sumBytes} at ${clock.nowMs()} ms`);
        },
      ),
    );
    // Each step is shorter than the headers timeout, and all of them much longer than the window of slowness.
    for (const outcome of await drive(clock, 100, Promise.all(fetching))) {
      assertBytes(outcome, block.bytes);
    }
    assert.ok(clock.nowMs() >= ((4 * MIB - 3 * CHUNK_BYTES) * 1000) / bytesPerSecond - 1_000);
  });

  it("RATE-1: a server that stalls counts as slow under a limit too", async (t) => {
    const block = seededBlock("stalls", 5000);
    const faulty = await startFaultyServer({ blocks: [block], seed: 1, fault: "stalledInBody" });
    cleanUp(t, () => faulty.close());
    const clock = createManualClock();
    const [server] = limitedServers(t, [faulty.url], { bytesPerSecond: 1_000_000, clock });
    assert.ok(server);
    const { signal } = new AbortController();
    let hasBegun = false;
    const fetching = server.fetchBytes({ hash: block.hash, maxBytes: 8192, signal }, () => {
      hasBegun = true;
    });
    await until("it began", () => hasBegun);
    const outcome = await drive(clock, 100, fetching);
    assert.ok(outcome.type === "failed" && outcome.kind === "slow", JSON.stringify(outcome));
  });

  it("RATE-2: what somebody waits for comes first, and a read-ahead still comes", async (t) => {
    const bytesPerSecond = 200_000;
    const urgent = seededBlock("urgent", MIB);
    const ahead = seededBlock("ahead", MIB);
    const clock = createManualClock();
    const honest = await startHonestServer([urgent, ahead]);
    cleanUp(t, () => honest.close());
    const [server] = limitedServers(t, [honest.url], { bytesPerSecond, clock });
    assert.ok(server);
    const { signal } = new AbortController();
    const request = { maxBytes: MIB, signal };
    let aheadBytes = 0;
    const fetchingAhead = server.fetchBytes(
      { ...request, hash: ahead.hash, urgency: createAhead() },
      (receivedBytes) => {
        aheadBytes = receivedBytes;
      },
    );
    await until("the read-ahead has begun", () => aheadBytes > 0);
    const outcome = await drive(clock, 20, server.fetchBytes({ ...request, hash: urgent.hash }));
    assertBytes(outcome, urgent.bytes);
    assert.ok(aheadBytes < MIB, "the read-ahead was held back");
    assertBytes(await drive(clock, 20, fetchingAhead), ahead.bytes);
  });

  const bytes = seededBytes("limited file", 700_000);
  const blocks = [0, 1, 2, 3].map((nth) =>
    blockOf(bytes.subarray(nth * 175_000, (nth + 1) * 175_000)),
  );
  const list = blocks.map(({ hash }) => `${hash}\n`).join("");

  it("RATE-1: get --limit-rate, or limitRate of config.json, takes its time and fails nothing", async (t) => {
    const honest = await startHonestServer(blocks);
    cleanUp(t, () => honest.close());
    for (const args of [["--limit-rate", "500kB/s"], []]) {
      const store = await tempFolder(t);
      const limitRate = args.length === 0 ? "500kB/s" : "1B/s";
      await writeFile(join(store, "config.json"), JSON.stringify({ limitRate }));
      const beginMs = performance.now();
      const { status, stderr } = await psync(["get", "--force", honest.url, "-v", ...args], {
        store,
        input: list,
      });
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stderr, /failed|slow|closed|timeout/);
      const leastMs = ((bytes.length - CHUNK_BYTES) * 1000) / 500_000 - LIMITS.rate.burstMs;
      assert.ok(performance.now() - beginMs >= leastMs);
    }
  });

  it("RATE-1: a limit that means nothing ends get and mount with status 2 before anything is asked", async (t) => {
    const store = await tempFolder(t);
    const faulty = await startFaultyServer({ blocks: [], seed: 1, fault: "none" });
    cleanUp(t, () => faulty.close());
    for (const command of [["get"], ["mount", store, join(store, "mnt")]]) {
      const args = [...command, "--server", faulty.url, "--limit-rate", "fast"];
      const { status, stderr } = await psync(args, { store, input: list });
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^psync: --limit-rate: not a rate: "fast"\nhint: /);
    }
    assert.equal(faulty.requestCount(), 0);
  });
});

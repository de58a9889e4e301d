/** `serve --server`, with real connections: what the store lacks is fetched, verified, cached and served. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { LIMITS } from "../../src/core/limits.js";
import { createDice, seededBlock } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import {
  LASTING_FAULTS,
  LIES,
  namesOf,
  TRANSIENT_FAULTS,
  type FaultName,
} from "../support/faults.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { startHonestServer } from "../support/honestServer.js";
import { startPullingServer } from "../support/pullingServer.js";
import { ask } from "../support/rawHttp.js";
import { SEED } from "../support/seed.js";
import { createLineLog, diskUsage, flipBit, openTestStore } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";
import { createTinyStore } from "../support/tinyStore.js";
import { createGate, until } from "../support/until.js";
import type { VerifiedBlock } from "../../src/block/verify.js";

const blocks = Array.from({ length: 48 }, (_none, nth) => seededBlock(`pulled ${nth}`, 1000));
const [block = seededBlock(0), other = seededBlock(0)] = blocks;
const etag = `"${block.hash}"`;

async function startOrigin(t: CleanUpContext, some: readonly VerifiedBlock[] = blocks) {
  const origin = await startHonestServer(some, { limits: { closeGraceMs: 100 } });
  cleanUp(t, () => origin.close());
  return origin;
}

/** An origin that answers nothing before the gate is opened. */
async function startStalled(t: CleanUpContext) {
  const origin = await startOrigin(t);
  const gate = createGate();
  cleanUp(t, gate.open);
  origin.store.beforeRead = () => gate.passed;
  return { ...origin, gate };
}

const at = ({ url }: { readonly url: string }, { hash } = block): string => `${url}/${hash}`;

function assertRight(body: Buffer, { bytes } = block): void {
  assert.deepEqual(body, Buffer.from(bytes));
}

/** Asks and goes away once the request is sent. */
async function hitAndRun(port: number, { hash }: VerifiedBlock): Promise<() => void> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => {
    socket.write(`GET /${hash} HTTP/1.1\r\nhost: x\r\n\r\n`, () => {
      resolve();
    });
  });
  return () => socket.destroy();
}

describe("PULL-1: a server with servers of its own", () => {
  it("delivers along a row of three, caches at each, and asks once for a block that many ask for", async (t) => {
    const origin = await startOrigin(t);
    const stores = [createTinyStore(), createTinyStore()] as const;
    const near = await startPullingServer(t, { urls: [origin.url], store: stores[0] });
    const far = await startPullingServer(t, { urls: [near.url], store: stores[1] });
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(at(far))));
    for (const { status, headers, body } of answers) {
      assert.equal(status, 200);
      assert.equal(headers.etag, etag);
      assertRight(body);
    }
    assert.equal(origin.store.readCount(), 1);
    assert.equal(near.askedCount(), 1);
    assert.equal(far.askedCount(), 1);
    for (const store of stores) {
      await until("it is cached", async () => (await store.find(block.hash))?.place === "cached");
    }
    await origin.close();
    assertRight((await ask(at(near))).body);
    assertRight((await ask(at(far))).body);
  });

  it("gives a block that is still being written, and does not ask for it again", async (t) => {
    const gate = createGate();
    const store = { ...createTinyStore(), cache: () => gate.passed };
    const server = await startPullingServer(t, { urls: [(await startOrigin(t)).url], store });
    for (let time = 0; time < 3; time += 1) assertRight((await ask(at(server))).body);
    assert.equal(server.askedCount(), 1);
    gate.open();
  });

  it("answers for a block that it fetches as for one that it has", async (t) => {
    const origin = await startOrigin(t);
    const start = () => startPullingServer(t, { urls: [origin.url] });
    const head = await ask(at(await start()), { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(head.headers["content-length"], "1000");
    assert.equal(head.headers.etag, etag);
    assert.equal(head.headers["cache-control"], "public, max-age=31536000, immutable");
    const part = await ask(at(await start()), { headers: { range: "bytes=10-19" } });
    assert.equal(part.status, 206);
    assert.equal(part.headers["content-range"], "bytes 10-19/1000");
    assert.deepEqual(part.body, Buffer.from(block.bytes.subarray(10, 20)));
    const past = await ask(at(await start()), { headers: { range: "bytes=1000-" } });
    assert.equal(past.status, 416);
    const unchanged = await ask(at(await start()), { headers: { "if-none-match": etag } });
    assert.equal(unchanged.status, 304);
    for (const path of ["/", `/x/${block.hash}`, `/${block.hash}?x`, `//${origin.url}`]) {
      const server = await start();
      assert.equal((await ask(server.url + path)).status, 404);
      assert.equal(server.askedCount(), 0, "nothing but blocks is asked for");
    }
  });

  it("answers 404 where every server says so, and remembers it", async (t) => {
    const server = await startPullingServer(t, { urls: [(await startOrigin(t, [])).url] });
    for (let time = 0; time < 5; time += 1) {
      const { status, headers } = await ask(at(server));
      assert.equal(status, 404);
      assert.equal(headers["cache-control"], "no-store");
    }
    assert.equal(server.askedCount(), 1);
  });

  it(`gives the right bytes or 404 or 504 when servers lie (seed ${SEED})`, async (t) => {
    const dice = createDice(`pull ${SEED}`);
    const faults = [...namesOf(LIES), ...namesOf(TRANSIENT_FAULTS), ...namesOf(LASTING_FAULTS)];
    const fetchLimits = { headersTimeoutMs: 1_000, slowWindowMs: 1_000 };
    const seen = new Set<number>();
    for (const isOneHonest of [false, true]) {
      const faulty = await startFaultyServer({
        blocks,
        seed: SEED,
        fault: () => faults[dice.roll(faults.length)] ?? "wrongBytes",
      });
      cleanUp(t, () => faulty.close());
      const urls = [faulty.url, ...(isOneHonest ? [(await startOrigin(t)).url] : [])];
      const server = await startPullingServer(t, { urls, fetchLimits });
      const answers = await Promise.all(
        blocks.map(async (one) => ({ one, answer: await ask(at(server, one)) })),
      );
      for (const { one, answer } of answers) {
        seen.add(answer.status);
        if (answer.status === 200) assertRight(answer.body, one);
        else assert.ok(!isOneHonest && [404, 504].includes(answer.status), `${answer.status}`);
      }
    }
    assert.ok(seen.has(200) && seen.has(504));
  });

  it("says once in the log what each server did, and 504 every time", async (t) => {
    const faulty = await startFaultyServer({ blocks, seed: 1, fault: "status403" });
    cleanUp(t, () => faulty.close());
    const log = createLineLog();
    const limits = { failedPullMemoryMs: 0 };
    const server = await startPullingServer(t, { urls: [faulty.url], log, limits });
    for (let time = 0; time < 5; time += 1) {
      const { status, headers, body } = await ask(at(server));
      assert.equal(status, 504);
      assert.equal(headers["retry-after"], "1");
      assert.doesNotMatch(body.toString() + JSON.stringify(headers), /127\.0\.0\.1/);
    }
    assert.equal(server.askedCount(), 5);
    const told = log.lines.filter((line) => line.startsWith("warn ") && line.includes(block.hash));
    assert.deepEqual(told, [
      `warn block ${block.hash} could not be had from 1 server; ${faulty.url}: status 403`,
    ]);
  });

  it("fetches again what is damaged in the store", async (t) => {
    const folder = await tempFolder(t);
    const store = await openTestStore(t, join(folder, "store"));
    await store.blocks.keep([block]);
    await flipBit(join(folder, "store", "blocks", block.hash));
    const { url } = await startOrigin(t);
    const server = await startPullingServer(t, { urls: [url], store: store.blocks });
    const { status, body } = await ask(at(server));
    assert.equal(status, 200);
    assertRight(body);
  });

  it("keeps the cache in its quota", async (t) => {
    const path = join(await tempFolder(t), "store");
    const quota = 10 * 4096;
    const store = await openTestStore(t, path, { cacheQuotaBytes: quota });
    const { url } = await startOrigin(t);
    const server = await startPullingServer(t, { urls: [url], store: store.blocks });
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    cleanUp(t, () => process.off("warning", onWarning));
    const pull = async (one: VerifiedBlock): Promise<void> => {
      assertRight((await ask(at(server, one))).body, one);
      assert.ok((await diskUsage(join(path, "cache"))) <= quota);
    };
    for (const one of blocks.slice(0, 12)) await pull(one);
    await Promise.all(blocks.slice(12).map(pull));
    assert.deepEqual(warnings, []);
    await until("some are cached", async () => (await readdir(join(path, "cache"))).length > 0);
  });

  it("STORE-4: serves what it fetches over a store that cannot be written", async (t) => {
    const path = join(await tempFolder(t), "store");
    const store = await openTestStore(t, path, { readOnly: true });
    const { url } = await startOrigin(t);
    const server = await startPullingServer(t, { urls: [url], store: store.blocks });
    for (let time = 0; time < 3; time += 1) assertRight((await ask(at(server))).body);
    assert.equal(server.askedCount(), 1, "the last ones are in memory");
    await assert.rejects(readdir(path), { code: "ENOENT" });
  });
});

describe("PULL-1: a fetch that takes long", () => {
  it("504 comes in time, the fetch goes on, and the next one who asks gets the block", async (t) => {
    const origin = await startStalled(t);
    const limits = { pullAnswerMs: 50 };
    const store = createTinyStore();
    const server = await startPullingServer(t, { urls: [origin.url], limits, store });
    for (let time = 0; time < 3; time += 1) {
      const { status, headers } = await ask(at(server));
      assert.equal(status, 504);
      assert.equal(headers["retry-after"], "1");
    }
    origin.gate.open();
    await until("it is cached", async () => (await store.find(block.hash)) !== undefined);
    assertRight((await ask(at(server))).body);
    assert.equal(server.askedCount(), 1);
  });

  it("is not lost when its client goes away", async (t) => {
    const origin = await startStalled(t);
    const store = createTinyStore();
    const server = await startPullingServer(t, { urls: [origin.url], store });
    const goAway = await hitAndRun(server.port, block);
    await until("it is asked for", () => origin.store.readCount() === 1);
    goAway();
    origin.gate.open();
    await until("it is cached", async () => (await store.find(block.hash)) !== undefined);
    assert.equal(server.askedCount(), 1);
  });

  it("ends at its deadline, and gives its place back", async (t) => {
    const faulty = await startFaultyServer({
      blocks,
      seed: 1,
      fault: (hash) => (hash === block.hash ? "stalledBeforeHeaders" : "none"),
    });
    cleanUp(t, () => faulty.close());
    const limits = { maxPulls: 1, pullDeadlineMs: 100 };
    const server = await startPullingServer(t, { urls: [faulty.url], limits });
    const [stalled, next] = await Promise.all([ask(at(server)), ask(at(server, other))]);
    assert.equal(stalled.status, 504);
    assert.equal(next.status, 200);
    assertRight(next.body, other);
  });

  it("is not begun for clients that went away before their turn", async (t) => {
    const origin = await startStalled(t);
    const limits = { maxPulls: 1 };
    const stored = seededBlock("stored");
    const store = createTinyStore([stored]);
    const server = await startPullingServer(t, { urls: [origin.url], limits, store });
    const answer = ask(at(server));
    await until("it is asked for", () => server.askedCount() === 1);
    for (const one of blocks.slice(2)) (await hitAndRun(server.port, one))();
    const last = ask(at(server, other));
    for (let time = 0; time < 10; time += 1) await ask(at(server, stored));
    origin.gate.open();
    assertRight((await answer).body);
    assertRight((await last).body, other);
    assert.ok(server.mostUnderWay() <= 1);
    // A client may be noticed to be gone only after its turn has come.
    assert.ok(server.askedCount() < blocks.length / 2, `${server.askedCount()} were asked for`);
  });

  it("is one of a bounded number, also for names that nobody has", async (t) => {
    const server = await startPullingServer(t, { urls: [(await startOrigin(t, [])).url] });
    const answers = Array.from({ length: 300 }, (_none, nth) =>
      ask(at(server, seededBlock(`nowhere ${nth}`))),
    );
    for (const { status } of await Promise.all(answers)) assert.equal(status, 404);
    assert.ok(server.mostUnderWay() <= LIMITS.server.maxPulls);
  });

  it("does not hold up the end of the server", async (t) => {
    const origin = await startStalled(t);
    const server = await startPullingServer(t, { urls: [origin.url] });
    const answers = blocks.map((one) => ask(at(server, one)).catch(() => "cut"));
    await until("some are asked for", () => server.askedCount() === LIMITS.server.maxPulls);
    await server.close();
    for (const answer of await Promise.all(answers)) assert.equal(answer, "cut");
    assert.equal(server.askedCount(), LIMITS.server.maxPulls, "nothing is begun at the end");
  });
});

describe("PULL-4: a block that a server cannot have just now", () => {
  it("is no failure of that server, and is asked for again", async (t) => {
    let isDown = true;
    const fault = (): FaultName => (isDown ? "status503" : "none");
    const origin = await startFaultyServer({ blocks, seed: 1, fault });
    cleanUp(t, () => origin.close());
    const near = await startPullingServer(t, {
      urls: [origin.url],
      limits: { failedPullMemoryMs: 0 },
    });
    const far = await startPullingServer(t, {
      urls: [near.url],
      fetchLimits: { patienceMs: 5_000 },
    });
    const answers = Promise.all(blocks.slice(0, 8).map((one) => ask(at(far, one))));
    await until("it is asked again", () => far.askedCount() > 16);
    const [status] = far.status();
    assert.equal(status?.state, "ready");
    assert.equal(status.failuresInRow, 0);
    assert.equal(status.requestLimit, 32, "nor did it have too much to do");
    isDown = false;
    for (const { status } of await answers) assert.equal(status, 200);
  });
});

describe("PULL-3: blocks of the store", () => {
  it("are served while all places for fetching are taken, and more wait", async (t) => {
    const origin = await startStalled(t);
    const stored = seededBlock("stored");
    const store = createTinyStore([stored]);
    const server = await startPullingServer(t, { urls: [origin.url], store });
    const waiting = blocks.map((one) => ask(at(server, one)));
    assert.ok(waiting.length > LIMITS.server.maxRequests);
    await until("all places are taken", () => server.askedCount() === LIMITS.server.maxPulls);
    for (let time = 0; time < 40; time += 1)
      assertRight((await ask(at(server, stored))).body, stored);
    assert.equal(server.askedCount(), LIMITS.server.maxPulls);
    origin.gate.open();
    for (const [nth, { status, body }] of (await Promise.all(waiting)).entries()) {
      assert.equal(status, 200);
      assertRight(body, blocks[nth]);
    }
  });

  it("and fetched ones share the places for what is sent, none of which is lost", async (t) => {
    const origin = await startOrigin(t);
    const limits = { maxRequests: 1, maxPulls: 2 };
    const server = await startPullingServer(t, { urls: [origin.url], limits });
    for (let time = 0; time < 3; time += 1) {
      const leaving = await Promise.all(blocks.map((one) => hitAndRun(server.port, one)));
      for (const goAway of leaving) goAway();
    }
    const answers = await Promise.all(blocks.map((one) => ask(at(server, one))));
    for (const [nth, { body }] of answers.entries()) assertRight(body, blocks[nth]);
  });

  it("and no more blocks are fetched than can be handed over to be sent", async (t) => {
    const large = seededBlock("large", 8 * 1024 * 1024);
    const origin = await startOrigin(t);
    const limits = { maxRequests: 1, maxPulls: 2 };
    const store = createTinyStore([large]);
    const server = await startPullingServer(t, { urls: [origin.url], limits, store });
    const slow = connect(server.port, "127.0.0.1").pause();
    cleanUp(t, () => slow.destroy());
    slow.write(`GET /${large.hash} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await until("it is being sent", () => store.readCount() === 1);
    const answers = blocks.map((one) => ask(at(server, one)));
    await until("some are fetched", () => server.askedCount() === 2);
    for (let time = 0; time < 40; time += 1) await ask(at(server, large), { method: "HEAD" });
    assert.equal(server.askedCount(), 2);
    slow.destroy();
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
  });
});

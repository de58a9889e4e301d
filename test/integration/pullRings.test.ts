/** `serve --server` where servers ask each other: requests that go in a circle end, and blocks come all the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededBlock } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { startHonestServer } from "../support/honestServer.js";
import { freePort, startPullingServer } from "../support/pullingServer.js";
import { ask } from "../support/rawHttp.js";
import { createLineLog } from "../support/storeFixtures.js";
import { createTinyStore } from "../support/tinyStore.js";

const blocks = Array.from({ length: 16 }, (_none, nth) => seededBlock(`ring ${nth}`, 1000));
const [block = seededBlock(0)] = blocks;

async function startOrigin(t: CleanUpContext) {
  const origin = await startHonestServer(blocks);
  cleanUp(t, () => origin.close());
  return origin;
}

const at = ({ url }: { readonly url: string }, { hash } = block): string => `${url}/${hash}`;

function assertRight(body: Buffer, { bytes } = block): void {
  assert.deepEqual(body, Buffer.from(bytes));
}

describe("PULL-2: servers that ask each other", () => {
  it("a server that is its own server is told so at the first hop", async (t) => {
    const port = await freePort();
    const self = `http://127.0.0.1:${port}`;
    const log = createLineLog();
    const server = await startPullingServer(t, { urls: [self], port, log });
    assert.equal((await ask(at(server))).status, 404);
    assert.equal(server.askedCount(), 1);
    assert.ok(log.lines.some((line) => line.endsWith(`; ${self}: 508: asked in a circle`)));
    await server.close();
    const { url } = await startOrigin(t);
    const withOrigin = await startPullingServer(t, { urls: [self, url], port });
    assertRight((await ask(at(withOrigin))).body);
    assert.equal(withOrigin.askedCount(), 2);
  });

  const startRing = async (t: CleanUpContext, more: readonly string[]) => {
    const ports = [await freePort(), await freePort()];
    const [first = "", second = ""] = ports.map((port) => `http://127.0.0.1:${port}`);
    // Nothing ends early here: what waits in a circle would wait for ever.
    const limits = { pullAnswerMs: 600_000, pullDeadlineMs: 600_000 };
    return Promise.all([
      startPullingServer(t, { urls: [second, ...more], port: ports[0] ?? 0, limits }),
      startPullingServer(t, { urls: [first, ...more], port: ports[1] ?? 0, limits }),
    ]);
  };

  it("two of them say 404 after one request each, for what nobody has", async (t) => {
    const [first, second] = await startRing(t, []);
    assert.equal((await ask(at(first))).status, 404);
    assert.equal(second.askedCount(), 1);
    assert.equal(first.askedCount(), 1);
  });

  it("do not think less of each other for what nobody has", async (t) => {
    const [first, second] = await startRing(t, []);
    for (let nth = 0; nth < 8; nth += 1) {
      assert.equal((await ask(at(first, seededBlock(`invented ${nth}`)))).status, 404);
    }
    for (const server of [first, second]) {
      const [status] = server.status();
      assert.equal(status?.state, "ready");
      assert.equal(status.failuresInRow, 0);
    }
  });

  it("two of them that are asked for one block at once do not wait for each other", async (t) => {
    const origin = await startOrigin(t);
    const [first, second] = await startRing(t, [origin.url]);
    for (const one of blocks) {
      const answers = await Promise.all(
        [first, second, first, second].map((server) => ask(at(server, one))),
      );
      for (const { status, body } of answers) {
        assert.equal(status, 200);
        assertRight(body, one);
      }
      assert.ok(first.askedCount(one.hash) + second.askedCount(one.hash) <= 8);
    }
  });

  it("508 is for what would have to be fetched, by its own name or after eight hops", async (t) => {
    const stored = seededBlock("stored");
    const store = createTinyStore([stored]);
    const faulty = await startFaultyServer({ blocks, seed: 1, fault: "none" });
    cleanUp(t, () => faulty.close());
    const server = await startPullingServer(t, { urls: [faulty.url], store });
    const others = Array.from({ length: 8 }, (_none, nth) => `1.1 psync-000000000000000${nth}`);
    const own = `1.1 proxy.example, 1.1 ${server.pseudonym}`;
    for (const via of [own, others.join(", ")]) {
      for (const method of ["GET", "HEAD"]) {
        const refused = await ask(at(server), { method, headers: { via } });
        assert.equal(refused.status, 508);
        assert.equal(refused.headers["cache-control"], "no-store");
        assert.equal((await ask(at(server, stored), { method, headers: { via } })).status, 200);
      }
    }
    assert.equal(faulty.requestCount(), 0);
    const seven = ["1.1 proxy.example", ...others.slice(1)].join(", ");
    assert.equal((await ask(at(server), { headers: { via: seven } })).status, 200);
    const [head = ""] = faulty.requestHeads();
    const passedOn = [...others.slice(1), `1.1 ${server.pseudonym}`].join(", ");
    assert.ok(head.includes(`\r\nvia: ${passedOn}`), head);
  });
});

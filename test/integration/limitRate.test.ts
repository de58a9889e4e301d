/** A limit on the rate over sockets, and as a user has it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { createServers } from "../../src/compose.js";
import { isPsyncError } from "../../src/core/errors.js";
import { LIMITS } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { seededBlock, seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk, startPsync } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { tempFolder } from "../support/tempFolder.js";

const KIB = 1024;
const BLOCK_BYTES = 256 * KIB;

/** How servers end a connection, each of which a client must bear that reads it late or not at all. */
const ENDINGS = {
  "says connection: close": "HTTP/1.1 200 OK\r\nconnection: close\r\n",
  "speaks HTTP/1.0": "HTTP/1.0 200 OK\r\n",
  "closes what it called kept alive": "HTTP/1.1 200 OK\r\n",
};

/** Answers every request with these bytes after this head, and ends the connection. */
async function startEndingServer(
  t: TestContext,
  head: string,
  bytesOf: (path: string) => Uint8Array,
): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (request: Buffer) => {
      const path = request.toString("latin1").split(" ")[1] ?? "";
      socket.write(`${head}content-length: ${BLOCK_BYTES}\r\n\r\n`);
      socket.end(bytesOf(path));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp(t, () => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function limitedServers(t: TestContext, servers: readonly string[], bytesPerSecond: number) {
  const set = createServers({
    servers,
    log: silentLogger,
    patienceMs: 100,
    limitBytesPerSecond: bytesPerSecond,
  });
  cleanUp(t, () => set.close());
  return set;
}

describe("a limited rate", () => {
  const blocks = [0, 1, 2].map((nth) => seededBlock(`ending ${nth}`, BLOCK_BYTES));
  const { signal } = new AbortController();

  for (const [what, head] of Object.entries(ENDINGS)) {
    it(`RATE-1: an honest server that ${what} is read to the end`, async (t) => {
      const url = await startEndingServer(
        t,
        head,
        (path) => blocks.find(({ hash }) => path === `/${hash}`)?.bytes ?? new Uint8Array(0),
      );
      const set = limitedServers(t, [url], 500_000);
      const beginMs = performance.now();
      const fetched = await Promise.all(
        blocks.map(({ hash }) => set.fetch({ hash, maxBytes: BLOCK_BYTES, signal })),
      );
      fetched.forEach((block, nth) => {
        assert.ok(Buffer.from(block.bytes).equals(blocks[nth]?.bytes ?? Buffer.alloc(0)));
      });
      const leastMs = (2 * BLOCK_BYTES * 1000) / 500_000 - LIMITS.rate.burstMs;
      assert.ok(performance.now() - beginMs >= leastMs - 50);
      assert.equal(set.status()[0]?.failuresInRow, 0);
    });

    it(`RATE-1: one that ${what} in the middle of a block is a failure, and no more`, async (t) => {
      const url = await startEndingServer(t, head, () => new Uint8Array(BLOCK_BYTES / 2));
      const set = limitedServers(t, [url], 500_000);
      for (const { hash } of blocks.slice(0, 2)) {
        await assert.rejects(set.fetch({ hash, maxBytes: BLOCK_BYTES, signal }), (error) =>
          isPsyncError(error, "ERR_PSYNC_BLOCK_UNAVAILABLE"),
        );
      }
    });
  }

  it("RATE-1: get --limit-rate, or limitRate of config.json, takes its time, fails nothing, and remembers the true speed", async (t) => {
    const folder = await tempFolder(t);
    const origin = join(folder, "origin");
    const bytes = seededBytes("limited file", 4 * BLOCK_BYTES);
    const list = await psyncOk(["export", "--trailer", "--block-size", String(BLOCK_BYTES)], {
      store: origin,
      input: bytes,
    });
    const server = await startPsync(["serve", "localhost:0"], { store: origin });
    cleanUp(t, () => server.stop());
    for (const args of [["--limit-rate", "300kB/s"], []]) {
      const store = await tempFolder(t);
      const limitRate = args.length === 0 ? "300kB/s" : "1B/s";
      await writeFile(join(store, "config.json"), JSON.stringify({ limitRate }));
      const beginMs = performance.now();
      const { status, stderr } = await psync(["get", server.firstLine, "-v", ...args], {
        store,
        input: list,
      });
      const tookMs = performance.now() - beginMs;
      assert.equal(status, 0, stderr);
      assert.doesNotMatch(stderr, /failed|slow|closed|timeout/);
      assert.ok(tookMs >= (3 * BLOCK_BYTES * 1000) / 300_000 - LIMITS.rate.burstMs, `${tookMs}`);
      const { stdout } = await psync(["glue"], { store, input: list });
      assert.ok(stdout.equals(bytes));
      const [row] = JSON.parse(await psyncOk(["servers", "--json"], { store })) as {
        readonly bytesPerSecond: number;
      }[];
      assert.ok(row && row.bytesPerSecond > 1_000_000, JSON.stringify(row));
    }
  });

  const list = `${seededBlock("limited", 100).hash}\n`;

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

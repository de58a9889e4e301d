import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError, PsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { createBlockServer } from "../../src/server/blockServer.js";
import { seededBlock } from "../support/blocks.js";
import { startHonestServer, type HonestServer } from "../support/honestServer.js";
import { ask, sendText } from "../support/rawHttp.js";
import { createTinyStore } from "../support/tinyStore.js";
import { createGate, until } from "../support/until.js";

const block = seededBlock("block", 1000);
const empty = seededBlock("empty", 0);
const large = seededBlock("large", 8 * 1024 * 1024);
const unknown = seededBlock("unknown");
const etag = `"${block.hash}"`;
const bytes = Buffer.from(block.bytes);

describe("SERVE-1: the block server answers", () => {
  let server: HonestServer;
  let url: string;
  before(async () => {
    server = await startHonestServer([block, empty, large]);
    url = `${server.url}/${block.hash}`;
  });
  after(() => server.close());

  it("GET with the block, and with what a cache needs to keep it for ever", async () => {
    const { status, headers, body } = await ask(url);
    assert.equal(status, 200);
    assert.deepEqual(body, bytes);
    assert.equal(headers["content-type"], "application/octet-stream");
    assert.equal(headers["content-length"], "1000");
    assert.equal(headers.etag, etag);
    assert.equal(headers["cache-control"], "public, max-age=31536000, immutable");
    assert.equal(headers["accept-ranges"], "bytes");
    assert.equal(headers["x-content-type-options"], "nosniff");
  });

  it("GET of the empty block and of a large one", async () => {
    const none = await ask(`${server.url}/${empty.hash}`);
    assert.equal(none.status, 200);
    assert.equal(none.headers["content-length"], "0");
    const all = await ask(`${server.url}/${large.hash}`);
    assert.ok(all.body.equals(large.bytes));
  });

  it("HEAD as GET, without reading the block", async () => {
    const reads = server.store.readCount();
    const { status, headers, body } = await ask(url, { method: "HEAD" });
    assert.equal(status, 200);
    assert.equal(headers["content-length"], "1000");
    assert.equal(headers.etag, etag);
    assert.equal(body.length, 0);
    assert.equal(server.store.readCount(), reads);
  });

  const targets: readonly (readonly [what: string, path: string])[] = [
    ["an unknown block", `/${unknown.hash}`],
    ["upper-case digits", `/${block.hash.toUpperCase()}`],
    ["too few digits", `/${block.hash.slice(1)}`],
    ["too many digits", `/${block.hash}0`],
    ["a folder", `/x/${block.hash}`],
    ["a slash more", `/${block.hash}/`],
    ["a slash less far", `//${block.hash}`],
    ["a query", `/${block.hash}?x`],
    ["the root", "/"],
    ["a way out", "/../../etc/passwd"],
    ["an escaped way out", "/%2e%2e/%2e%2e/etc/passwd"],
    ["a broken escape", "/%zz"],
    ["a letter that is no digit", `/${"g".repeat(64)}`],
  ];
  for (const [what, path] of targets) {
    it(`404 to ${what}, not to be kept`, async () => {
      const text = await sendText(
        server.port,
        `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
      );
      assert.match(text, /^HTTP\/1\.1 404 /);
      assert.match(text, /\r\ncache-control: no-store\r\n/i);
      assert.match(text, /\r\n\r\nNot Found\n$/);
    });
  }

  it("a whole URL as the target, as a proxy sends it", async () => {
    const text = await sendText(
      server.port,
      `GET http://x:1/${block.hash} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
    );
    assert.match(text, /^HTTP\/1\.1 200 /);
  });

  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]) {
    it(`405 to ${method}, and what is allowed`, async () => {
      const { status, headers } = await ask(url, { method });
      assert.equal(status, 405);
      assert.equal(headers.allow, "GET, HEAD");
    });
  }

  it("a request with a body without reading it", async () => {
    for (const [method, status] of [
      ["POST", 405],
      ["GET", 200],
    ] as const) {
      const text = await sendText(
        server.port,
        `${method} /${block.hash} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000000\r\n\r\nxxx`,
      );
      assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), "no 100 Continue");
      assert.match(text, /\r\nconnection: close\r\n/i);
    }
  });

  it("400 to rubbish, and hangs up", async () => {
    for (const text of [
      "rubbish\r\n\r\n",
      "GET noslash HTTP/1.1\r\n\r\n",
      "\u0016\u0003\u0001\r\n",
    ]) {
      assert.match(await sendText(server.port, text), /^HTTP\/1\.1 400 /, JSON.stringify(text));
    }
    const long = `GET / HTTP/1.1\r\nhost: x\r\nx: ${"p".repeat(100_000)}\r\n\r\n`;
    assert.match(await sendText(server.port, long), /^HTTP\/1\.1 431 /);
  });

  const conditions: readonly (readonly [ifNoneMatch: string, status: number])[] = [
    [etag, 304],
    [`W/${etag}`, 304],
    [`"x", ${etag}`, 304],
    ["*", 304],
    ['"x"', 200],
    [block.hash, 200],
  ];
  for (const [ifNoneMatch, status] of conditions) {
    it(`${status} to If-None-Match: ${ifNoneMatch.slice(0, 8)}…`, async () => {
      for (const method of ["GET", "HEAD"]) {
        const reads = server.store.readCount();
        const answer = await ask(url, { method, headers: { "if-none-match": ifNoneMatch } });
        assert.equal(answer.status, status);
        assert.equal(answer.headers.etag, etag);
        if (status === 304) assert.equal(answer.body.length, 0);
        if (status === 304) assert.equal(server.store.readCount(), reads);
      }
    });
  }

  it("404 to If-None-Match: * of a block that is not there", async () => {
    const headers = { "if-none-match": "*" };
    assert.equal((await ask(`${server.url}/${unknown.hash}`, { headers })).status, 404);
  });

  const parts: readonly (readonly [range: string, start: number, end: number])[] = [
    ["bytes=0-0", 0, 1],
    ["bytes=10-19", 10, 20],
    ["bytes=990-", 990, 1000],
    ["bytes=0-", 0, 1000],
    ["bytes=-10", 990, 1000],
    ["bytes=-5000", 0, 1000],
    ["bytes=500-99999999999999999999", 500, 1000],
    ["Bytes = 1 - 2 ", 1, 3],
  ];
  for (const [range, start, end] of parts) {
    it(`206 to Range: ${range}`, async () => {
      const { status, headers, body } = await ask(url, { headers: { range } });
      assert.equal(status, 206);
      assert.equal(headers["content-range"], `bytes ${start}-${end - 1}/1000`);
      assert.equal(headers["content-length"], String(end - start));
      assert.equal(headers.etag, etag);
      assert.deepEqual(body, bytes.subarray(start, end));
    });
  }

  for (const range of [
    "bytes=1000-",
    "bytes=1000-2000",
    "bytes=-0",
    "bytes=99999999999999999999-",
  ]) {
    it(`416 to Range: ${range}`, async () => {
      const { status, headers } = await ask(url, { headers: { range } });
      assert.equal(status, 416);
      assert.equal(headers["content-range"], "bytes */1000");
    });
  }

  it("416 to any range of the empty block", async () => {
    const { status, headers } = await ask(`${server.url}/${empty.hash}`, {
      headers: { range: "bytes=0-" },
    });
    assert.equal(status, 416);
    assert.equal(headers["content-range"], "bytes */0");
  });

  for (const range of [
    "bytes=0-1,5-6",
    "bytes=5-4",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "lines=0-1",
  ]) {
    it(`the whole block to Range: ${range}`, async () => {
      const { status, body } = await ask(url, { headers: { range } });
      assert.equal(status, 200);
      assert.deepEqual(body, bytes);
    });
  }

  it("a part only where If-Range names this block", async () => {
    const range = "bytes=0-9";
    const part = await ask(url, { headers: { range, "if-range": etag } });
    assert.equal(part.status, 206);
    for (const other of ['"x"', `W/${etag}`, "Sat, 01 Jan 2000 00:00:00 GMT"]) {
      assert.equal((await ask(url, { headers: { range, "if-range": other } })).status, 200);
    }
  });

  it("HEAD without regard to ranges", async () => {
    const { status } = await ask(url, { method: "HEAD", headers: { range: "bytes=0-1" } });
    assert.equal(status, 200);
  });
});

describe("the block server", () => {
  const path = "/secret/place/blocks";
  const failures = [
    ["a PsyncError by its table", new PsyncError("ERR_PSYNC_STORE", `cannot read ${path}`), 503],
    ["anything else", new Error(`cannot read ${path}`), 500],
  ] as const;
  for (const [what, error, status] of failures) {
    it(`answers ${status} to ${what}, and nothing of what lies behind`, async () => {
      const server = await startHonestServer([block]);
      server.store.beforeRead = () => Promise.reject(error);
      const answer = await ask(`${server.url}/${block.hash}`);
      assert.equal(answer.status, status);
      assert.equal(answer.headers["cache-control"], "no-store");
      assert.doesNotMatch(answer.body.toString() + JSON.stringify(answer.headers), /secret|at /);
      await server.close();
    });
  }

  it("holds no more blocks at once than it may, and the others wait", async () => {
    const server = await startHonestServer([block], { limits: { maxRequests: 2 } });
    let reading = 0;
    let mostReading = 0;
    const gate = createGate();
    server.store.beforeRead = async () => {
      reading += 1;
      mostReading = Math.max(mostReading, reading);
      await gate.passed;
      reading -= 1;
    };
    const answers = Array.from({ length: 6 }, () => ask(`${server.url}/${block.hash}`));
    await until("two are being read", () => reading === 2);
    gate.open();
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
    assert.equal(mostReading, 2);
    await server.close();
  });

  it("answers 503 to who waited too long for a place or for the store", async () => {
    const limits = { maxRequests: 1, requestTimeoutMs: 100 };
    const server = await startHonestServer([block], { limits });
    const gate = createGate();
    server.store.beforeRead = () => gate.passed;
    const answers = await Promise.all([1, 2].map(() => ask(`${server.url}/${block.hash}`)));
    for (const { status, headers } of answers) {
      assert.equal(status, 503);
      assert.equal(headers["retry-after"], "1");
    }
    assert.equal(server.store.readCount(), 1);
    gate.open();
    await server.close();
  });

  it("frees the place of a client that goes away in the middle", async () => {
    const server = await startHonestServer([large], { limits: { maxRequests: 1 } });
    const open: Socket[] = [];
    for (let nth = 0; nth < 3; nth += 1) {
      const socket = connect(server.port, "127.0.0.1");
      open.push(socket);
      socket.write(`GET /${large.hash} HTTP/1.1\r\nhost: x\r\n\r\n`);
      socket.once("readable", () => void socket.read(1));
      await until("it gets bytes", () => socket.bytesRead > 0);
      socket.destroy();
    }
    assert.equal((await ask(`${server.url}/${large.hash}`)).status, 200);
    await server.close();
  });

  it("gives up a client that takes nothing", async () => {
    const limits = { maxRequests: 1, requestTimeoutMs: 100, slowBytesPerSecond: 1e9 };
    const server = await startHonestServer([large], { limits });
    const socket = connect(server.port, "127.0.0.1").pause();
    socket.on("error", () => undefined);
    socket.write(`GET /${large.hash} HTTP/1.1\r\nhost: x\r\n\r\n`);
    await until("it is read", () => server.store.readCount() === 1);
    let status = 0;
    for (let nth = 0; nth < 50 && status !== 200; nth += 1) {
      status = (await ask(`${server.url}/${large.hash}`).catch(() => undefined))?.status ?? 0;
    }
    assert.equal(status, 200);
    socket.destroy();
    await server.close();
  });

  it("finishes what is under way when it is closed, and takes nothing new", async () => {
    const server = await startHonestServer([large]);
    const gate = createGate();
    server.store.beforeRead = () => gate.passed;
    const answer = ask(`${server.url}/${large.hash}`, { headers: { connection: "keep-alive" } });
    await until("it is read", () => server.store.readCount() === 1);
    const closed = server.close();
    await assert.rejects(ask(`${server.url}/${block.hash}`), /ECONNREFUSED/);
    gate.open();
    assert.ok((await answer).body.equals(large.bytes));
    await closed;
  });

  it("closes connections that hang at the end of the grace", async () => {
    const server = await startHonestServer([block], { limits: { closeGraceMs: 50 } });
    const gate = createGate();
    server.store.beforeRead = () => gate.passed;
    const answer = ask(`${server.url}/${block.hash}`).catch(() => "cut");
    await until("it is read", () => server.store.readCount() === 1);
    await server.close();
    assert.equal(await answer, "cut");
    gate.open();
  });

  it("says of an address that is taken what to do", async () => {
    const first = await startHonestServer([]);
    const second = createBlockServer({
      store: createTinyStore(),
      log: silentLogger,
      clock: systemClock,
    });
    await assert.rejects(
      second.listen({ host: "127.0.0.1", port: first.port }),
      (error) =>
        isPsyncError(error, "ERR_PSYNC_FAILED") &&
        error.message === `cannot listen on 127.0.0.1:${first.port}: the address is in use` &&
        error.hint !== undefined,
    );
    await second.close();
    await first.close();
  });

  it("listens on localhost, and on every interface", async () => {
    for (const host of ["localhost", "0.0.0.0", undefined]) {
      const server = createBlockServer({
        store: createTinyStore([block]),
        log: silentLogger,
        clock: systemClock,
      });
      const { port, urls } = await server.listen({ host, port: 0 });
      assert.ok(urls.length > 0 && urls.every((url) => url.endsWith(`:${port}`)));
      assert.equal((await ask(`http://127.0.0.1:${port}/${block.hash}`)).status, 200);
      await server.close();
    }
  });
});

import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { inspect } from "node:util";
import { systemClock } from "../../src/core/clock.js";
import { LIMITS, type LimitsOf } from "../../src/core/limits.js";
import { createHttpServer, type HttpServer } from "../../src/fetch/httpServer.js";
import type { FetchFailure, FetchOutcome } from "../../src/fetch/outcome.js";
import { readProxies } from "../../src/fetch/proxies.js";
import { parseServer, type ServerSettings } from "../../src/fetch/serverSettings.js";
import { seededBlock } from "../support/blocks.js";
import { makeCertificates, NO_OPENSSL, suiteCertificates } from "../support/certificates.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync } from "../support/cli.js";
import { refusingUrl } from "../support/faultyServer.js";
import { startHonestServer } from "../support/honestServer.js";
import { startProxy, type ProxyFault } from "../support/proxy.js";
import { tempFolder } from "../support/tempFolder.js";
import { startAskingServer, startTlsServer } from "../support/tlsServer.js";
import { until } from "../support/until.js";

const block = seededBlock("through a proxy", 50_000);

function serverBehind(
  context: TestContext,
  environment: NodeJS.ProcessEnv,
  settings: ServerSettings,
  limits: Partial<LimitsOf<"fetch">> = {},
): HttpServer {
  const server = createHttpServer(
    { ...settings, proxies: readProxies(environment) },
    { clock: systemClock, limits: { ...LIMITS.fetch, ...limits } },
  );
  cleanUp(context, () => server.close());
  return server;
}

const fetchFrom = (
  server: HttpServer,
  signal = new AbortController().signal,
): Promise<FetchOutcome> => server.fetchBytes({ hash: block.hash, maxBytes: 65_536, signal });

function assertRight(outcome: FetchOutcome): void {
  if (outcome.type !== "bytes") assert.fail(inspect(outcome));
  assert.deepEqual(Buffer.from(outcome.bytes), Buffer.from(block.bytes));
}

async function failureOf(fetching: Promise<FetchOutcome>): Promise<FetchFailure> {
  const outcome = await fetching;
  if (outcome.type !== "failed") assert.fail(inspect(outcome));
  return outcome;
}

async function proxyFor(context: TestContext, options: Parameters<typeof startProxy>[0] = {}) {
  const proxy = await startProxy(options);
  cleanUp(context, () => proxy.close());
  return proxy;
}

async function honestFor(context: TestContext) {
  const honest = await startHonestServer([block]);
  cleanUp(context, () => honest.close());
  return honest;
}

const FAULTS: readonly (readonly [fault: ProxyFault, reason: RegExp, transient: boolean])[] = [
  ["refuses", /403/, false],
  ["unreachable", /502/, true],
  ["hangs", /^(no tunnel|no answer) in/, true],
  ["garbage", /not an HTTP answer/, false],
  ["closes", /connection (reset|closed)/, true],
];

const TUNNEL_FAULTS: typeof FAULTS = [
  ["hangsInTunnel", /timed out/, true],
  ["garbageInTunnel", /^TLS failed: /, false],
  ["closesInTunnel", /connection (reset|closed)/, true],
];

describe("an http server behind a proxy", () => {
  it("PROXY-1: is asked over it as it is, by http_proxy in lower or upper case", async (t) => {
    const proxy = await proxyFor(t);
    const honest = await honestFor(t);
    for (const name of ["http_proxy", "HTTP_PROXY"]) {
      const environment = { [name]: proxy.url, HTTPS_PROXY: await refusingUrl() };
      const server = serverBehind(t, environment, parseServer(honest.url));
      assertRight(await fetchFrom(server));
    }
    assert.deepEqual(proxy.requests, Array(2).fill(`GET ${honest.url}/${block.hash}`));
  });

  it("PROXY-1: is asked straight where NO_PROXY has its host, its port, or all", async (t) => {
    const proxy = await proxyFor(t);
    const honest = await honestFor(t);
    for (const no_proxy of ["127.0.0.1", `x,127.0.0.1:${honest.port}`, "*", "x 127.0.0.1"]) {
      const environment = { http_proxy: proxy.url, no_proxy };
      assertRight(await fetchFrom(serverBehind(t, environment, parseServer(honest.url))));
    }
    assert.deepEqual(proxy.requests, []);
    const environment = { http_proxy: proxy.url, NO_PROXY: "127.0.0.1:1,example" };
    assertRight(await fetchFrom(serverBehind(t, environment, parseServer(honest.url))));
    assert.equal(proxy.requests.length, 1);
  });

  it("PROXY-1, SECRET-1: the proxy's password goes to it, and is in no failure", async (t) => {
    const authorization = `Basic ${btoa("ann:hunter2")}`;
    const proxy = await proxyFor(t, { authorization });
    const honest = await honestFor(t);
    const withPassword = (password: string) => ({
      http_proxy: proxy.url.replace("//", `//ann:${password}@`),
    });
    assertRight(await fetchFrom(serverBehind(t, withPassword("hunter2"), parseServer(honest.url))));
    const failure = await failureOf(
      fetchFrom(serverBehind(t, withPassword("hunter3"), parseServer(honest.url))),
    );
    assert.equal(
      failure.reason,
      `the proxy wants another name and password (407) (through the proxy ${proxy.url})`,
    );
    assert.equal(failure.transient, false);
  });

  for (const [fault, reason, transient] of FAULTS) {
    it(`PROXY-1: a proxy that ${fault} is a failure that names it`, async (t) => {
      const proxy = await proxyFor(t, { fault });
      const server = serverBehind(t, { http_proxy: proxy.url }, parseServer("http://127.0.0.1:1"), {
        headersTimeoutMs: 200,
      });
      const failure = await failureOf(fetchFrom(server));
      assert.match(failure.reason, reason);
      assert.ok(failure.reason.endsWith(` (through the proxy ${proxy.url})`), failure.reason);
      assert.equal(failure.transient, transient, failure.reason);
    });
  }

  it("PROXY-1: a proxy that is not there is a failure that names it", async (t) => {
    const url = await refusingUrl();
    const server = serverBehind(t, { http_proxy: url }, parseServer("http://127.0.0.1:1"));
    const { reason, transient } = await failureOf(fetchFrom(server));
    assert.equal(reason, `connection refused (through the proxy ${url})`);
    assert.equal(transient, true);
  });

  it("PROXY-1, SECRET-1: the command line takes the variables, shows no password, and refuses one that means nothing", async (t) => {
    const proxy = await proxyFor(t);
    const honest = await honestFor(t);
    const store = await tempFolder(t);
    const options = { store, input: `${block.hash}\n` };
    const done = await psync(["get", honest.url], { ...options, env: { http_proxy: proxy.url } });
    assert.equal(done.status, 0, done.stderr);
    assert.equal(proxy.requests.length, 1);
    const strict = await proxyFor(t, { authorization: "Basic other" });
    const withPassword = { http_proxy: strict.url.replace("//", "//ann:hunter2@") };
    const refused = await psync(["get", "--force", "--json", "-v", honest.url], {
      ...options,
      env: withPassword,
    });
    assert.equal(refused.status, 4, refused.stderr);
    assert.ok(refused.stderr.includes(`(407) (through the proxy ${strict.url})`), refused.stderr);
    const secret = new RegExp(`hunter2|${btoa("ann:hunter2")}`);
    assert.doesNotMatch(`${refused.stderr} ${refused.stdout.toString()}`, secret);
    const env = { HTTPS_PROXY: "http://ann:hunter2@127.0.0.1:0" };
    for (const args of [
      ["get", honest.url],
      ["doctor", "--server", honest.url],
    ]) {
      const { status, stderr } = await psync(args, { ...options, env });
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^psync: HTTPS_PROXY: not a proxy's address: "…@127\.0\.0\.1:0"/);
    }
  });
});

describe("an https server behind a proxy", { skip: NO_OPENSSL }, () => {
  const pki = suiteCertificates();

  const secureServer = (context: TestContext) => startAskingServer(context, [block], pki.ours);
  const identified = (url: string): ServerSettings => {
    const { cert, key } = pki.ours.client;
    return { ...parseServer(url), tls: () => ({ ca: pki.ours.ca, cert, key }) };
  };

  it("PROXY-1, TLS-1: is reached through a tunnel, with its own authority and our certificate", async (t) => {
    const proxy = await proxyFor(t);
    const secure = await secureServer(t);
    for (const name of ["https_proxy", "HTTPS_PROXY", "http_proxy"]) {
      assertRight(await fetchFrom(serverBehind(t, { [name]: proxy.url }, identified(secure.url))));
    }
    assert.deepEqual(proxy.requests, Array(3).fill(`CONNECT 127.0.0.1:${secure.port}`));
  });

  it("PROXY-1: many blocks at once use a few tunnels, again and again", async (t) => {
    const proxy = await proxyFor(t);
    const secure = await secureServer(t);
    const server = serverBehind(t, { https_proxy: proxy.url }, identified(secure.url), {
      connectionsPerServer: 3,
    });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => fetchFrom(server)));
    outcomes.forEach(assertRight);
    assert.ok(proxy.requests.length <= 3, proxy.requests.join());
  });

  it("PROXY-1, SECRET-1: the proxy sees its own password and none of the server's secrets", async (t) => {
    const authorization = `Basic ${btoa("ann:hunter2")}`;
    const proxy = await proxyFor(t, { authorization });
    const secure = await secureServer(t);
    const settings: ServerSettings = {
      ...identified(secure.url),
      headers: () => ({ authorization: "Bearer secret" }),
    };
    const proxyUrl = proxy.url.replace("//", "//ann:hunter2@");
    const server = serverBehind(t, { https_proxy: proxyUrl }, settings);
    assertRight(await fetchFrom(server));
    assert.equal(secure.requests[0]?.authorization, "Bearer secret");
    assert.equal(secure.requests[0]["proxy-authorization"], undefined);
    assert.doesNotMatch(proxy.heads.join(), /secret|Bearer/);
    assert.doesNotMatch(inspect(server, { depth: 9, showHidden: true }), /hunter2|secret|Basic/);
  });

  it("PROXY-1: a wrong password is a failure that says so", async (t) => {
    const proxy = await proxyFor(t, { authorization: "Basic other" });
    const secure = await secureServer(t);
    const environment = { https_proxy: proxy.url.replace("//", "//ann:hunter2@") };
    const failure = await failureOf(
      fetchFrom(serverBehind(t, environment, identified(secure.url))),
    );
    assert.equal(
      failure.reason,
      `the proxy wants another name and password (407) (through the proxy ${proxy.url})`,
    );
    assert.equal(failure.transient, false);
  });

  for (const [fault, reason, transient] of [...FAULTS, ...TUNNEL_FAULTS]) {
    it(`PROXY-1: a proxy that ${fault} is a failure that names it`, async (t) => {
      const proxy = await proxyFor(t, { fault });
      const server = serverBehind(
        t,
        { https_proxy: proxy.url },
        parseServer("https://127.0.0.1:1"),
        { connectTimeoutMs: fault.startsWith("hangs") ? 200 : 60_000 },
      );
      const failure = await failureOf(fetchFrom(server));
      assert.match(failure.reason, reason);
      assert.ok(failure.reason.endsWith(` (through the proxy ${proxy.url})`), failure.reason);
      assert.equal(failure.transient, transient, failure.reason);
      await until("its connection is closed", () => proxy.openConnections() === 0);
    });
  }

  it("PROXY-1: an abort closes a tunnel that does not open", async (t) => {
    const proxy = await proxyFor(t, { fault: "hangs" });
    const server = serverBehind(t, { https_proxy: proxy.url }, parseServer("https://127.0.0.1:1"), {
      connectTimeoutMs: 3_600_000,
    });
    const controller = new AbortController();
    const fetching = fetchFrom(server, controller.signal);
    await until("it is asked", () => proxy.requests.length === 1);
    controller.abort(new Error("enough"));
    await assert.rejects(fetching, /enough/);
    await until("the connection is closed", () => proxy.openConnections() === 0);
  });

  it("TLS-1: a certificate is checked through the tunnel too", async (t) => {
    const proxy = await proxyFor(t);
    const secure = await secureServer(t);
    const { cert, key } = makeCertificates(pki.folder, "others").server;
    const strange = await startTlsServer([block], { cert, key });
    cleanUp(t, () => strange.close());
    const nameless = await startTlsServer([block], pki.ours.client);
    cleanUp(t, () => nameless.close());
    const environment = { https_proxy: proxy.url };
    const withoutCertificate = { ...parseServer(secure.url), tls: () => ({ ca: pki.ours.ca }) };
    for (const settings of [
      { ...identified(secure.url), tls: () => undefined },
      withoutCertificate,
      identified(strange.url),
      identified(nameless.url),
    ]) {
      const failure = await failureOf(fetchFrom(serverBehind(t, environment, settings)));
      // A server that wants a certificate may close the connection without a word.
      if (settings !== withoutCertificate) assert.equal(failure.kind, "tls", failure.reason);
      assert.ok(failure.reason.endsWith(` (through the proxy ${proxy.url})`), failure.reason);
    }
    assert.equal(secure.requests.length, 0);
  });
});

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { resolveSettings } from "../../src/cli/settings.js";
import { systemClock } from "../../src/core/clock.js";
import { LIMITS } from "../../src/core/limits.js";
import { createHttpServer } from "../../src/fetch/httpServer.js";
import type { FetchFailure } from "../../src/fetch/outcome.js";
import { seededBlock } from "../support/blocks.js";
import { makeCertificates, NO_OPENSSL, suiteCertificates } from "../support/certificates.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { startHonestServer } from "../support/honestServer.js";
import { tempFolder } from "../support/tempFolder.js";
import { startAskingServer, startTlsServer } from "../support/tlsServer.js";

const block = seededBlock("over TLS", 5000);
const list = `${block.hash}\n`;

describe("servers over TLS", { skip: NO_OPENSSL }, () => {
  const pki = suiteCertificates();

  /** A store whose config.json has these servers. */
  const storeWith = async (context: TestContext, servers: readonly unknown[]): Promise<string> => {
    const store = await tempFolder(context);
    await writeFile(join(store, "config.json"), JSON.stringify({ servers }));
    return store;
  };

  const serverAsking = (context: TestContext) => startAskingServer(context, [block], pki.ours);

  it("TLS-1: a server with its own authority that wants a certificate gives the block, by config.json or by address", async (t) => {
    const server = await serverAsking(t);
    const { certPath: cert, keyPath: key } = pki.ours.client;
    const headers = { authorization: "Bearer hunter2", "X-Team": "a b" };
    const store = await storeWith(t, [
      { url: server.url, ca: pki.ours.caPath, cert, key, headers },
    ]);
    for (const named of [[], [`${server.url}/`]]) {
      const done = await psync(["get", "--force", ...named, "-v"], { store, input: list });
      assert.equal(done.status, 0, done.stderr);
      assert.doesNotMatch(done.stderr, /hunter2/);
    }
    assert.equal(server.requests.length, 2);
    for (const request of server.requests) {
      assert.equal(request.authorization, "Bearer hunter2");
      assert.equal(request["x-team"], "a b");
      assert.equal(request["accept-encoding"], "identity");
    }
    const { status, stdout } = await psync(["doctor", "--json"], { store });
    assert.ok(status === 0 || status === 1);
    const checks = JSON.parse(stdout.toString()) as { name: string; found: string }[];
    assert.equal(checks.find(({ name }) => name === server.url)?.found, "answers");
  });

  it("TLS-1: names of PEM files begin at the folder of config.json", async (t) => {
    const server = await serverAsking(t);
    const entry = { url: server.url, ca: "tls/ca.pem", cert: "tls/me.pem", key: "tls/me-key.pem" };
    const store = await storeWith(t, [entry]);
    await mkdir(join(store, "tls"));
    await writeFile(join(store, "tls/ca.pem"), pki.ours.ca);
    await writeFile(join(store, "tls/me.pem"), pki.ours.client.cert);
    await writeFile(join(store, "tls/me-key.pem"), pki.ours.client.key);
    const { status, stderr } = await psync(["get"], { store, input: list, cwd: pki.folder });
    assert.equal(status, 0, stderr);
  });

  /** What comes of asking the first server of a config.json, once. */
  const askOnce = async (context: TestContext, entry: unknown): Promise<FetchFailure> => {
    const store = await storeWith(context, [entry]);
    const [settings] = await resolveSettings({ store }, {}).servers();
    assert.ok(settings);
    const server = createHttpServer(settings, { clock: systemClock, limits: LIMITS.fetch });
    cleanUp(context, () => server.close());
    const { signal } = new AbortController();
    const outcome = await server.fetchBytes({ hash: block.hash, maxBytes: 8192, signal });
    if (outcome.type !== "failed") assert.fail(outcome.type);
    return outcome;
  };

  it("TLS-1: without the authority, or with another one in its place, nothing is had", async (t) => {
    const server = await serverAsking(t);
    const others = makeCertificates(pki.folder, "others");
    const { certPath: cert, keyPath: key } = pki.ours.client;
    for (const more of [{}, { cert, key }, { ca: others.caPath, cert, key }]) {
      const { kind, reason } = await askOnce(t, { url: server.url, ...more });
      assert.equal(kind, "tls", reason);
      assert.match(reason, /^TLS failed: /);
    }
    assert.equal(server.requests.length, 0);
  });

  it("TLS-1: without the certificate, or with another authority's, nothing is had", async (t) => {
    const server = await serverAsking(t);
    const others = makeCertificates(pki.folder, "strange").client;
    const wrong = { cert: others.certPath, key: others.keyPath };
    const entry = { url: server.url, ca: pki.ours.caPath };
    for (const more of [{}, wrong]) await askOnce(t, { ...entry, ...more });
    assert.equal(server.requests.length, 0);
  });

  it("TLS-1: a certificate for another host, or another purpose, is refused", async (t) => {
    for (const pair of [pki.ours.client, pki.ours.elsewhere]) {
      const server = await startTlsServer([block], pair);
      cleanUp(t, () => server.close());
      const { kind, reason } = await askOnce(t, { url: server.url, ca: pki.ours.caPath });
      assert.equal(kind, "tls", reason);
      assert.equal(server.requests.length, 0);
    }
  });

  it("TLS-1: https is never asked without TLS, and its secrets go nowhere else", async (t) => {
    const plain = await startFaultyServer({ blocks: [block], seed: 1, fault: "none" });
    cleanUp(t, () => plain.close());
    const url = plain.url.replace("http:", "https:");
    const entry = { url, headers: { authorization: "Bearer hunter2" } };
    await askOnce(t, entry);
    assert.equal(plain.requestCount(), 0);
    const store = await storeWith(t, [entry]);
    const overHttp = await psync(["get", plain.url], { store, input: list });
    assert.equal(overHttp.status, 0, overHttp.stderr);
    assert.doesNotMatch(plain.requestHeads().join(), /hunter2/);
  });

  it("TLS-1: an https address that answers in plain HTTP is a failure that asks whether it is http://", async (t) => {
    const plain = await startHonestServer([block]);
    cleanUp(t, () => plain.close());
    const { kind, reason } = await askOnce(t, { url: plain.url.replace("http:", "https:") });
    assert.equal(kind, "tls");
    assert.equal(reason, "TLS failed: the server does not speak it there; is it http://?");
  });

  it("CONFIG-1: a key that is not the certificate's is refused before anything is asked", async (t) => {
    const server = await serverAsking(t);
    const entry = { url: server.url, cert: pki.ours.client.certPath, key: pki.ours.server.keyPath };
    const store = await storeWith(t, [entry]);
    for (const args of [["get"], ["mount", pki.folder, join(store, "mnt")]]) {
      const { status, stderr } = await psync(args, { store, input: list });
      assert.equal(status, 2, stderr);
      assert.ok(
        stderr.startsWith(
          `psync: ${join(store, "config.json")}: servers[0].key: the key is not that of the certificate\n`,
        ),
        stderr,
      );
    }
    assert.equal(server.requests.length, 0);
  });
});

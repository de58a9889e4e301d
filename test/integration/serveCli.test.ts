/** `psync serve --server` as a user has it. */
import { strict as assert } from "node:assert";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { LIMITS } from "../../src/core/limits.js";
import { seededBlock, seededBytes } from "../support/blocks.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk, startPsync, type CliOptions } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { ask } from "../support/rawHttp.js";
import { tempFolder } from "../support/tempFolder.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

/** A file of three blocks in the store of a server, and a folder for more. */
async function fixture(t: TestContext) {
  const folder = await tempFolder(t);
  const bytes = seededBytes("serve", 5 * MIB);
  const origin = join(folder, "origin");
  const list = join(folder, "list");
  const hashes = await psyncOk(["export"], { store: origin, input: bytes });
  await writeFile(list, hashes);
  const serve = async (store: string, args: string[] = [], options: Partial<CliOptions> = {}) => {
    const server = await startPsync(["serve", "localhost:0", ...args], { store, ...options });
    cleanUp(t, () => server.stop());
    return server;
  };
  const { firstLine: url } = await serve(origin);
  return { folder, bytes, list, url, serve, firstHash: hashes.slice(0, 64) };
}

describe("PULL-1: psync serve --server", () => {
  it("is a cache that stands in a row, and serves on when the first of the row is gone", async (t) => {
    const { folder, bytes, list, url, serve } = await fixture(t);
    const [near, far] = [join(folder, "near"), join(folder, "far")];
    const nearServer = await serve(near, ["--server", url]);
    const farServer = await serve(far, ["--server", nearServer.firstLine]);
    for (const reader of ["first", "second"]) {
      const store = join(folder, reader);
      await psyncOk(["get", farServer.firstLine, list], { store });
      assert.deepEqual((await psync(["glue", list], { store })).stdout, Buffer.from(bytes));
      for (const cache of [near, far]) {
        await until(
          "all is cached",
          async () => (await readdir(join(cache, "cache"))).length === 3,
        );
        assert.deepEqual(await readdir(join(cache, "blocks")), []);
      }
      assert.equal(await nearServer.stop("SIGINT"), 0);
    }
    assert.match(
      nearServer.stderr(),
      new RegExp(`what is not in the store is fetched from ${url}`),
    );
  });

  it("caches as much as --cache-size and --min-free say, which without --server is a mistake", async (t) => {
    const { folder, bytes, list, url, serve } = await fixture(t);
    const cache = join(folder, "cache");
    const { firstLine } = await serve(cache, ["--server", url, "--cache-size", "0"]);
    const store = join(folder, "reader");
    await psyncOk(["get", firstLine, list], { store });
    assert.deepEqual((await psync(["glue", list], { store })).stdout, Buffer.from(bytes));
    assert.deepEqual(await readdir(join(cache, "cache")), []);
    for (const option of ["--cache-size", "--min-free"]) {
      const { status, stderr } = await psync(["serve", option, "1GiB"], { store: cache });
      assert.equal(status, 2);
      assert.match(stderr, /without --server nothing is cached/);
      assert.ok(stderr.includes(`leave ${option} out`));
    }
  });

  it("SERVE-1: servers that are only configured are not asked", async (t) => {
    const { folder, url, serve, firstHash } = await fixture(t);
    const store = join(folder, "empty");
    const server = await serve(store, [], { env: { PSYNC_SERVERS: url } });
    assert.equal((await ask(`${server.firstLine}/${firstHash}`)).status, 404);
    assert.match(
      await psyncOk(["serve", "--help"], { store }),
      /--server +fetch what the store lacks/,
    );
    await assert.rejects(readdir(store), { code: "ENOENT" });
  });

  it("PULL-3: Ctrl-C ends it while its servers stall", async (t) => {
    const { folder, serve } = await fixture(t);
    const blocks = Array.from({ length: 40 }, (_none, nth) => seededBlock(nth));
    const stalled = await startFaultyServer({ blocks, seed: 1, fault: "stalledInBody" });
    cleanUp(t, () => stalled.close());
    const server = await serve(join(folder, "cache"), ["--server", stalled.url]);
    const answers = blocks.map((block) =>
      ask(`${server.firstLine}/${block.hash}`).then(
        ({ status }) => status,
        () => "cut",
      ),
    );
    await until("it asks", () => stalled.requestCount() >= LIMITS.fetch.newcomerRequests);
    assert.equal(await server.stop("SIGINT"), 0);
    for (const answer of await Promise.all(answers)) assert.ok(answer === "cut" || answer === 503);
    assert.doesNotMatch(server.stderr(), /^\(node:/m);
    await until("its requests have ended", () => stalled.openConnections() === 0);
  });
});

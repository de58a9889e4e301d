/** The asking side of rings: what a request says of its way, and what is thought of a server that refuses it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { seededBlock } from "../support/blocks.js";
import { cleanUp, type CleanUpContext } from "../support/cleanUp.js";
import type { FaultName } from "../support/faults.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { httpServers } from "../support/httpServers.js";

const blocks = ["a", "b", "c", "d", "e", "f"].map((seed) => seededBlock(seed));
const [first = seededBlock("a")] = blocks;
const request = { maxBytes: 8192, signal: new AbortController().signal };

function setOf(t: CleanUpContext, urls: readonly string[]) {
  const servers = httpServers(urls);
  const set = createServerSet({ servers, clock: systemClock, log: silentLogger, patienceMs: 0 });
  cleanUp(t, () => set.close());
  return set;
}

describe("PULL-2: a request that goes in a circle", () => {
  it("says which psyncs it came through, and nothing where it came from a reader", async (t) => {
    const server = await startFaultyServer({ blocks, seed: 1, fault: "none" });
    cleanUp(t, () => server.close());
    const set = setOf(t, [server.url]);
    await set.fetch({ ...request, hash: first.hash });
    await set.fetch({ ...request, hash: first.hash, via: [] });
    await set.fetch({ ...request, hash: first.hash, via: ["psync-1", "psync-2"] });
    const [plain, empty, passed] = server.requestHeads();
    assert.doesNotMatch(plain ?? "", /^via:/im);
    assert.doesNotMatch(empty ?? "", /^via:/im);
    assert.match(passed ?? "", /\r\nvia: 1\.1 psync-1, 1\.1 psync-2(\r\n|$)/);
  });

  it("is refused with 508, which is neither a failure nor a 404 of the server", async (t) => {
    let isCircle = true;
    const fault = (): FaultName => (isCircle ? "status508" : "none");
    const server = await startFaultyServer({ blocks, seed: 1, fault });
    cleanUp(t, () => server.close());
    const set = setOf(t, [server.url]);
    for (const { hash } of blocks) {
      await assert.rejects(set.fetch({ ...request, hash }), (error) => {
        assert.ok(isPsyncError(error, "ERR_PSYNC_BLOCK_IN_CIRCLE"));
        assert.deepEqual(error.details, [`${server.url}: 508: asked in a circle`]);
        return true;
      });
    }
    assert.equal(server.requestCount(), blocks.length, "each block is asked for once");
    const [status] = set.status();
    assert.equal(status?.state, "ready");
    assert.equal(status.failuresInRow, 0);
    isCircle = false;
    assert.equal((await set.fetch({ ...request, hash: first.hash })).hash, first.hash);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isBlockMissing } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { httpServers } from "../support/httpServers.js";
import { seededBlock } from "../support/blocks.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { hasNginx, startNginx } from "../support/nginx.js";
import { ask } from "../support/rawHttp.js";

const maxBytes = 2 * 1024 * 1024;
const blocks = Array.from({ length: 20 }, (_, index) => seededBlock(`n${index}`, 50_000 + index));
const whole = seededBlock("whole", maxBytes);
const unknown = seededBlock("unknown");
const signal = new AbortController().signal;

// Where CI promises nginx, its absence is a failure and not a skip.
const skip = hasNginx() || process.env["CI"] === "true" ? false : "nginx is not installed";

describe("nginx over a plain folder of blocks", { skip }, () => {
  it("is a server like any other", async () => {
    const nginx = await startNginx([...blocks, whole]);
    const liar = await startFaultyServer({ blocks, seed: 1, fault: "flippedBit" });
    const servers = httpServers([liar.url, nginx.url]);
    const set = createServerSet({ servers, clock: systemClock, log: silentLogger });
    try {
      for (const { hash, bytes } of [...blocks, whole]) {
        const got = await set.fetch({ hash, maxBytes, signal });
        assert.ok(Buffer.from(bytes).equals(got.bytes));
      }
      assert.equal(liar.requestCount(), 1);
      await assert.rejects(
        set.fetch({ hash: unknown.hash, maxBytes, signal }),
        (error) => isBlockMissing(error) && error.details.includes(`${nginx.url}: 404`),
      );
      const answer = await ask(`${nginx.url}/${whole.hash}`, { headers: { range: "bytes=0-9" } });
      assert.equal(answer.status, 206);
    } finally {
      await set.close();
      await liar.close();
      await nginx.close();
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError, PsyncError } from "../../src/core/errors.js";
import { LIMITS, type LimitsOf } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { createPulls } from "../../src/server/pulls.js";
import type { BlockRequest, BlockSource } from "../../src/block/ports.js";
import { seededBlock } from "../support/blocks.js";
import { createGate, until } from "../support/until.js";

const block = seededBlock("pulled");
const { hash } = block;
const { signal } = new AbortController();
const request = { hash, hops: [], signal };

function pullsOver(source: BlockSource, limits: Partial<LimitsOf<"server">> = {}) {
  return createPulls({
    source,
    pseudonym: "psync-0000000000000000",
    clock: systemClock,
    log: silentLogger,
    limits: { ...LIMITS.server, pullAnswerMs: 1_000, ...limits },
  });
}

describe("PULL-3: places for fetching", () => {
  it("are held by flights, so that clients of one block that overlap do not take them all", async () => {
    const pulls = pullsOver({ fetch: () => Promise.resolve(block) }, { maxPulls: 1 });
    let last = { gate: createGate(), pulled: Promise.resolve("") };
    last.gate.open();
    for (let time = 0; time < 5; time += 1) {
      const { gate: gateBefore, pulled: before } = last;
      const gate = createGate();
      let isTaken = false;
      const pulled = pulls.pull(request, async () => {
        isTaken = true;
        await gate.passed;
        return "had";
      });
      await new Promise((resolve) => setImmediate(resolve));
      gateBefore.open();
      await before;
      await until("the block is handed over", () => isTaken);
      last = { gate, pulled };
    }
    last.gate.open();
    assert.equal(await last.pulled, "had");
  });

  it("are held until all who shared the flight have their block", async () => {
    const gate = createGate();
    let askedCount = 0;
    const source: BlockSource = {
      fetch: async (asked) => {
        askedCount += 1;
        if (asked.hash !== hash) return seededBlock("other");
        await gate.passed;
        return block;
      },
    };
    const pulls = pullsOver(source, { maxPulls: 1 });
    const handedOver = [createGate(), createGate()];
    const sharing = handedOver.map(({ passed }) => pulls.pull(request, () => passed));
    const other = pulls.pull({ ...request, hash: seededBlock("other").hash }, () =>
      Promise.resolve("had"),
    );
    gate.open();
    for (const { open } of handedOver) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(askedCount, 1);
      open();
    }
    await Promise.all(sharing);
    assert.equal(await other, "had");
  });
});

describe("PULL-2: what a circle means", () => {
  it("is 404 to who is no psync, 508 to who came the same way, and 504 to who shared its flight", async () => {
    const gate = createGate();
    const pulls = pullsOver({
      async fetch() {
        await gate.passed;
        throw new PsyncError("ERR_PSYNC_BLOCK_IN_CIRCLE", "no block");
      },
    });
    const codeFor = (hops: readonly string[]) =>
      pulls
        .pull({ ...request, hops }, () => Promise.resolve("had"))
        .catch((error: unknown) => (isPsyncError(error) ? error.code : error));
    const codes = [[], [], ["psync-a"], ["psync-b"], ["psync-a"]].map(codeFor);
    gate.open();
    assert.deepEqual(await Promise.all(codes), [
      "ERR_PSYNC_BLOCK_NOT_FOUND",
      "ERR_PSYNC_BLOCK_NOT_FOUND",
      "ERR_PSYNC_BLOCK_IN_CIRCLE",
      "ERR_PSYNC_BLOCK_UNAVAILABLE",
      "ERR_PSYNC_BLOCK_IN_CIRCLE",
    ]);
    assert.equal(await codeFor(["psync-c"]), "ERR_PSYNC_BLOCK_UNAVAILABLE", "from memory");
  });
});

describe("a block of a length that is not known", () => {
  it("is asked for as one of 2 MiB that may have 64 MiB", async () => {
    const asked: BlockRequest[] = [];
    const pulls = pullsOver({
      fetch(one) {
        asked.push(one);
        return Promise.resolve(block);
      },
    });
    await pulls.pull(request, () => Promise.resolve());
    const [{ maxBytes, expectedBytes } = { maxBytes: 0 }] = asked;
    assert.equal(maxBytes, LIMITS.block.maxSizeBytes);
    assert.equal(expectedBytes, LIMITS.block.defaultSizeBytes);
  });
});

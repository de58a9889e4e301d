import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { LIMITS, type LimitsOf } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { createPulls } from "../../src/server/pulls.js";
import type { BlockSource } from "../../src/block/ports.js";
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

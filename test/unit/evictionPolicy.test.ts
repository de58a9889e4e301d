/** The choice of what is evicted, over any cache there can be. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { BlockHash } from "../../src/block/hash.js";
import {
  allowedBytes,
  diskBytes,
  planRoom,
  type CachedBlock,
} from "../../src/store/evictionPolicy.js";

const cache = fc
  .array(fc.integer({ min: 0, max: 5000 }), { maxLength: 40 })
  .map((sizes): readonly CachedBlock[] =>
    sizes.map((sizeBytes, use) => ({
      hash: use.toString(16).padStart(64, "0") as BlockHash,
      sizeBytes,
      use,
    })),
  );
const request = fc.record({
  blocks: cache,
  incomingBytes: fc.integer({ min: 0, max: 6000 }),
  allowed: fc.integer({ min: 0, max: 120_000 }),
  fraction: fc.double({ min: 0.1, max: 1, noNaN: true }),
  most: fc.integer({ min: 1, max: 45 }),
});

function sum(blocks: readonly CachedBlock[]): number {
  return blocks.reduce((total, block) => total + block.sizeBytes, 0);
}

/** A failure names its seed and the smallest case; FAST_CHECK_SEED runs that one again. */
function property(
  body: (input: {
    readonly blocks: readonly CachedBlock[];
    readonly incomingBytes: number;
    readonly allowed: number;
    readonly fraction: number;
    readonly most: number;
  }) => void,
): void {
  const seed = process.env["FAST_CHECK_SEED"];
  fc.assert(fc.property(request, body), seed === undefined ? {} : { seed: Number(seed) });
}

describe("evictionPolicy", () => {
  const plan = (input: Parameters<Parameters<typeof property>[0]>[0]) =>
    planRoom({
      cachedBytes: sum(input.blocks),
      incomingBytes: input.incomingBytes,
      allowedBytes: input.allowed,
      evictToFraction: input.fraction,
      maxEvictCount: input.most,
      leastRecentFirst: input.blocks,
    });

  it("what fits as it is evicts nothing", () => {
    property((input) => {
      if (sum(input.blocks) + input.incomingBytes > input.allowed) return;
      assert.deepEqual(plan(input), { fits: true, evict: [] });
    });
  });

  it("a plan that fits keeps the cache within what is allowed", () => {
    property((input) => {
      const { fits, evict } = plan(input);
      const afterBytes = sum(input.blocks) - sum(evict) + input.incomingBytes;
      assert.equal(fits, afterBytes <= input.allowed);
    });
  });

  it("only the least recently used go, in their order", () => {
    property((input) => {
      const { evict } = plan(input);
      assert.deepEqual(evict, input.blocks.slice(0, evict.length));
    });
  });

  it("once something goes, no more goes than brings the cache to its target", () => {
    property((input) => {
      const { evict } = plan(input);
      const last = evict.at(-1);
      if (!last) return;
      const target = Math.floor(input.allowed * input.fraction);
      const beforeLast = sum(input.blocks) - sum(evict) + last.sizeBytes;
      assert.ok(beforeLast + input.incomingBytes > target);
    });
  });

  it("more than the most at once go only until the new block fits", () => {
    property((input) => {
      const { evict, fits } = plan(input);
      assert.equal(fits, plan({ ...input, most: Infinity }).fits);
      if (evict.length <= input.most) return;
      const beforeLast = sum(input.blocks) - sum(evict.slice(0, -1)) + input.incomingBytes;
      assert.ok(beforeLast > input.allowed);
    });
  });

  it("candidates are read only as far as needed", () => {
    function* endless(): Generator<CachedBlock> {
      for (let use = 0; ; use += 1) yield { hash: "" as BlockHash, sizeBytes: 10, use };
    }
    const { evict } = planRoom({
      cachedBytes: 100,
      incomingBytes: 10,
      allowedBytes: 100,
      evictToFraction: 0.9,
      maxEvictCount: 100,
      leastRecentFirst: endless(),
    });
    assert.equal(evict.length, 2);
  });

  it("the disk's free space can allow less than the quota, and never less than nothing", () => {
    const disk = {
      quotaBytes: 1000,
      freeBytes: 100,
      totalBytes: 2000,
      minFree: { fraction: 0.05 },
    };
    assert.equal(allowedBytes(disk, 300), 300);
    assert.equal(allowedBytes({ ...disk, freeBytes: 1500 }, 300), 1000);
    assert.equal(allowedBytes({ ...disk, freeBytes: 40 }, 300), 240);
    assert.equal(allowedBytes({ ...disk, freeBytes: 0 }, 10), 0);
    assert.equal(allowedBytes({ ...disk, minFree: { bytes: 250 } }, 300), 150);
  });

  it("a file counts as the pages it takes", () => {
    assert.deepEqual([0, 1, 4096, 4097].map(diskBytes), [0, 4096, 4096, 8192]);
  });
});

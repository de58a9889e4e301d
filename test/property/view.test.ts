import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createView } from "../../src/view/view.js";
import { blocksInOrder } from "../../src/view/sequence.js";
import { seededBytes } from "../support/blocks.js";
import { listOf, mapSource } from "../support/lists.js";
import { SEED } from "../support/seed.js";

const NEVER = new AbortController().signal;

describe("view", () => {
  it("ERR-2: a read that touches a block nobody has fails at once, whatever its other blocks do", async () => {
    const bytes = seededBytes("two", 2000);
    const { list } = await listOf(bytes, 1000);
    const view = createView({
      list,
      sizeBytes: 2000,
      source: {
        fetch: ({ hash }) =>
          hash === list.hashAt(0)
            ? Promise.reject(new Error("nobody has it"))
            : new Promise(() => undefined),
      },
    });
    await assert.rejects(view.read({ offset: 0, length: 2000 }, NEVER), /nobody has it/);
  });

  it(`READ-1: a read equals the same piece of the bytes, fetching only blocks it touches (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 5000 }),
        fc.integer({ min: 1, max: 1200 }),
        fc.integer({ min: 0, max: 6000 }),
        fc.integer({ min: 0, max: 6000 }),
        async (sizeBytes, blockSizeBytes, offset, length) => {
          const bytes = seededBytes(`${sizeBytes}`, sizeBytes);
          const { list, blocks } = await listOf(bytes, blockSizeBytes);
          const { source, asked } = mapSource(blocks);
          const view = createView({ list, sizeBytes, source });
          const parts = await view.read({ offset, length }, NEVER);
          assert.deepEqual(Buffer.concat(parts), bytes.subarray(offset, offset + length));
          const end = Math.min(sizeBytes, offset + length);
          const touched =
            offset >= end
              ? 0
              : Math.floor((end - 1) / blockSizeBytes) - Math.floor(offset / blockSizeBytes) + 1;
          assert.equal(asked.length, touched);
        },
      ),
      { seed: SEED, numRuns: 400 },
    );
  });

  it(`READ-1: the blocks in order are the whole file (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 5000 }),
        fc.integer({ min: 1, max: 1200 }),
        async (sizeBytes, blockSizeBytes) => {
          const bytes = seededBytes(`${sizeBytes}`, sizeBytes);
          const { list, blocks } = await listOf(bytes, blockSizeBytes);
          const parts: Uint8Array[] = [];
          for await (const part of blocksInOrder({ list, ...mapSource(blocks) }, NEVER)) {
            parts.push(part);
          }
          assert.deepEqual(Buffer.concat(parts), bytes);
        },
      ),
      { seed: SEED, numRuns: 100 },
    );
  });
});

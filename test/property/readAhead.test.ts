import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { BlockSource } from "../../src/block/ports.js";
import { abortReason } from "../../src/core/abort.js";
import { PsyncError } from "../../src/core/errors.js";
import { createSharedReadAhead } from "../../src/view/readAhead.js";
import { createStreams } from "../../src/view/streams.js";
import { createView } from "../../src/view/view.js";
import { createDice, seededBytes } from "../support/blocks.js";
import { listOf } from "../support/lists.js";
import { createManualClock } from "../support/manualClock.js";
import { SEED } from "../support/seed.js";

const NEVER = new AbortController().signal;

/** Reads as several readers make them: each step goes on from an older read, or jumps. */
const reads = (blockCount: number) =>
  fc.array(
    fc.record({
      jump: fc.option(fc.nat(blockCount - 1), { freq: 4 }),
      from: fc.nat(5),
      step: fc.integer({ min: -2, max: 20 }).map((step) => (step > 5 ? 1 : step)),
      length: fc.integer({ min: 1, max: 4 }),
      lineBlocks: fc.nat(100),
    }),
    { maxLength: 200 },
  );

describe("read-ahead", () => {
  it(`AHEAD-1: for any series of reads what is wanted is in the list, behind the read, and bounded (seed ${SEED})`, () => {
    const blockCount = 500;
    fc.assert(
      fc.property(
        reads(blockCount),
        fc.constantFrom(1, 64 * 1024, 2 * 1024 * 1024, 64 * 1024 * 1024),
        (series, blockSizeBytes) => {
          const streams = createStreams({ blockCount, blockSizeBytes });
          const live = new Set<unknown>();
          const past = [0];
          for (const { jump, from, step, length, lineBlocks } of series) {
            const start = jump ?? (past.at(-1 - from) ?? 0) + step;
            const first = Math.min(Math.max(0, start), blockCount - 1);
            const last = Math.min(first + length - 1, blockCount - 1);
            past.push(last);
            const made = streams.follow({ first, last }, lineBlocks);
            const isNew = !live.has(made.stream);
            live.add(made.stream);
            for (const over of made.ended) assert.ok(live.delete(over));
            assert.ok(live.size <= 16);
            const { wanted } = made;
            assert.ok(wanted.last < blockCount);
            assert.ok(wanted.first > last);
            const wantedCount = Math.max(0, wanted.last - wanted.first + 1);
            assert.ok(wantedCount <= Math.min(64, Math.max(16, lineBlocks)));
            if (isNew) assert.equal(wantedCount, 0);
            assert.ok(made.jumpedBefore <= first);
          }
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });

  it(`AHEAD-2: whatever is read, and whatever fails, what lies ahead is within the budget, and nothing stays under way (seed ${SEED})`, async () => {
    const blockCount = 60;
    const blockSizeBytes = 1000;
    const bytes = seededBytes("property", blockCount * blockSizeBytes - 17);
    const { list, blocks } = await listOf(bytes, blockSizeBytes);
    await fc.assert(
      fc.asyncProperty(
        reads(blockCount),
        fc.nat(),
        fc.integer({ min: 1, max: 40 }),
        async (series, seed, budgetBlocks) => {
          const dice = createDice(seed);
          const clock = createManualClock();
          let aheadCount = 0;
          let mostAhead = 0;
          const source: BlockSource = {
            async fetch({ hash, signal, urgency }) {
              const isAhead = urgency?.isWaitedFor === false;
              if (isAhead) aheadCount += 1;
              mostAhead = Math.max(mostAhead, aheadCount);
              try {
                const turns = isAhead ? dice.roll(20) : 0;
                for (let turn = 0; turn < turns; turn += 1) {
                  await new Promise((resolve) => setImmediate(resolve));
                  if (signal.aborted) throw abortReason(signal);
                }
                const block = blocks.get(hash);
                if (block && !(isAhead && dice.roll(5) === 0)) return block;
                throw new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", "it did not come");
              } finally {
                if (isAhead) aheadCount -= 1;
              }
            },
          };
          const readAhead = createSharedReadAhead({
            clock,
            maxBytes: budgetBlocks * blockSizeBytes,
          });
          const sizeBytes = bytes.length;
          const views = [0, 1].map(() => createView({ list, sizeBytes, source, readAhead }));
          const past = [0];
          for (const { jump, from, step, length } of series) {
            const offset = Math.max(0, (jump ?? (past.at(-1 - from) ?? 0) + step) * blockSizeBytes);
            past.push(Math.floor(offset / blockSizeBytes) + length - 1);
            const range = { offset, length: length * blockSizeBytes };
            const parts = await views[from % 2]?.read(range, NEVER);
            assert.deepEqual(
              Buffer.concat(parts ?? []),
              bytes.subarray(offset, offset + range.length),
            );
            clock.advance(dice.roll(3) === 0 ? 40_000 : 10);
          }
          // What a read took over is the read's, and no part of the budget any more.
          assert.ok(mostAhead <= budgetBlocks + 4, `${mostAhead} of ${budgetBlocks}`);
          for (const view of views) view.close();
          for (let turn = 0; turn < 3; turn += 1)
            await new Promise((resolve) => setImmediate(resolve));
          assert.equal(aheadCount, 0);
        },
      ),
      { seed: SEED, numRuns: 60 },
    );
  });
});

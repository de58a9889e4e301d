import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { HASH_BYTES } from "../../src/block/hash.js";
import { formatHashlist } from "../../src/hashlist/format.js";
import { createHashlist } from "../../src/hashlist/hashlist.js";
import { parseHashlist } from "../../src/hashlist/parse.js";
import { SEED } from "../support/seed.js";

const lists = fc
  .record({
    hashes: fc.array(fc.uint8Array({ minLength: HASH_BYTES, maxLength: HASH_BYTES }), {
      maxLength: 40,
    }),
    blockSizeBytes: fc.integer({ min: 1, max: 64 * 1024 * 1024 }),
    lastFraction: fc.double({ min: 0, max: 1, noNaN: true }),
    extraTrailer: fc.array(
      fc.record({
        key: fc.stringMatching(/^x-[a-z0-9-]{0,8}$/),
        value: fc.stringMatching(/^[ -~]{0,20}$/),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ hashes, blockSizeBytes, lastFraction, extraTrailer }) => {
    const lastBytes = 1 + Math.floor(lastFraction * (blockSizeBytes - 1));
    const sizeBytes = hashes.length === 0 ? 0 : (hashes.length - 1) * blockSizeBytes + lastBytes;
    const text = hashes.map((hash) => `${Buffer.from(hash).toString("hex")}\n`).join("");
    const digest = createHash("sha256").update(text).digest("hex");
    return createHashlist({
      hashes: Buffer.concat(hashes),
      blockSizeBytes,
      sizeBytes,
      digest,
      extraTrailer,
    });
  });

describe("hashlist", () => {
  it(`LIST-1: what is written is read back as it was, in any pieces (seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(lists, fc.integer({ min: 1, max: 200 }), async (list, chunkBytes) => {
        const text = Buffer.from(formatHashlist(list));
        const chunks: Buffer[] = [];
        for (let at = 0; at < text.length; at += chunkBytes) {
          chunks.push(text.subarray(at, at + chunkBytes));
        }
        const read = await parseHashlist(chunks, { name: "list" });
        assert.equal(read.digest, list.digest);
        assert.equal(read.sizeBytes, list.sizeBytes);
        assert.equal(read.blockSizeBytes, list.blockSizeBytes);
        assert.equal(formatHashlist(read), text.toString());
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it(`LIST-3: any bytes are a list or a typed error with a place (seed ${SEED})`, async () => {
    const text = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .array(
          fc.constantFrom("a".repeat(64), "\n", "\r\n", "size: ", "12", "block-size: ", "\0", "g"),
        )
        .map((parts) => Buffer.from(parts.join(""))),
    );
    await fc.assert(
      fc.asyncProperty(text, fc.integer({ min: 1, max: 100 }), async (bytes, cut) => {
        const whole = await outcomeOf([bytes]);
        const inTwo = await outcomeOf([bytes.subarray(0, cut), bytes.subarray(cut)]);
        assert.equal(inTwo, whole);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });
});

async function outcomeOf(chunks: readonly Uint8Array[]): Promise<string> {
  try {
    return (await parseHashlist(chunks, { name: "list" })).digest;
  } catch (error) {
    assert.match((error as Error).message, /^list:\d+:\d+: /);
    return (error as Error).message;
  }
}

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import { distinctBlocks, fitsLength, type Hashlist } from "../../src/hashlist/hashlist.js";
import { parseHashlist } from "../../src/hashlist/parse.js";

async function listOfHashes(hashes: readonly string[], trailer = ""): Promise<Hashlist> {
  return parseHashlist([Buffer.from(hashes.map((hash) => `${hash}\n`).join("") + trailer)], {
    name: "list",
  });
}

describe("distinct blocks", () => {
  it("are the first places of each name, in order", async () => {
    const [a, b, c] = ["a", "b", "c"].map((digit) => digit.repeat(64)) as [string, string, string];
    assert.deepEqual([...distinctBlocks(await listOfHashes([a, b, a, c, b, a]))], [0, 1, 3]);
    assert.deepEqual([...distinctBlocks(await listOfHashes([a]))], [0]);
    assert.deepEqual([...distinctBlocks(await listOfHashes([]))], []);
  });

  it("LIST-4: a list made up of names that share their bits costs no more than any other", async () => {
    const count = 4000;
    const number = (index: number) => index.toString(16).padStart(8, "0");
    for (const make of [
      (index: number) => `${"0".repeat(56)}${number(index)}`,
      (index: number) => `${number(index)}${"0".repeat(56)}`,
    ]) {
      const list = await listOfHashes(
        Array.from({ length: count }, (_value, index) => make(index)),
      );
      let comparedCount = 0;
      const counting = {
        ...list,
        hashAt(blockIndex: number): BlockHash {
          comparedCount += 1;
          return list.hashAt(blockIndex);
        },
      };
      assert.equal([...distinctBlocks(counting)].length, count);
      assert.ok(comparedCount < 20 * count, `${comparedCount} names were compared`);
    }
  });

  it("a block fits where its length is the listed one", async () => {
    const hashes = ["a".repeat(64), "b".repeat(64)];
    const plain = await listOfHashes(hashes);
    const known = await listOfHashes(hashes, "\nsize: 15\nblock-size: 10\n");
    assert.ok(fitsLength(known, 0, 10) && !fitsLength(known, 0, 9));
    assert.ok(fitsLength(known, 1, 5) && !fitsLength(known, 1, 10));
    assert.ok(fitsLength(plain, 1, 1) && !fitsLength(plain, 1, 0));
    assert.ok(!fitsLength(plain, 1, 2 * 1024 * 1024 + 1));
  });
});

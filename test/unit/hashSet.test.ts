import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { HashSet } from "../../src/block/hashSet.js";
import { seededBlock } from "../support/blocks.js";

const hash = (seed: number) => seededBlock(`set ${seed}`, 8).hash;

describe("a set of block names", () => {
  it("has what was added, once, and nothing else, also after it has grown", () => {
    const set = new HashSet();
    const added = Array.from({ length: 5000 }, (_, seed) => hash(seed));
    for (const one of [...added, ...added]) set.add(one);
    assert.equal(set.size, added.length);
    assert.ok(added.every((one) => set.has(one)));
    for (let seed = 5000; seed < 6000; seed += 1) assert.equal(set.has(hash(seed)), false);
    assert.deepEqual([...set].sort(), [...added].sort());
  });

  it("takes names as raw bytes too", () => {
    const set = new HashSet();
    set.addBytes(Buffer.from(`00${hash(1)}`, "hex"), 1);
    assert.deepEqual([...set], [hash(1)]);
  });
});

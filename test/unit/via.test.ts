import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createPseudonym, psyncHops } from "../../src/server/via.js";

const [a, b] = ["psync-0123456789abcdef", "psync-fedcba9876543210"];

describe("via", () => {
  const cases: readonly (readonly [via: string | undefined, hops: readonly string[]])[] = [
    [undefined, []],
    ["", []],
    [`1.1 ${a}`, [a]],
    [`1.1 ${a}, 1.1 ${b}`, [a, b]],
    [`HTTP/1.1 ${a},1.0\t${b}`, [a, b]],
    [`1.1 proxy.example:8080, 1.1 ${a} (a comment, 1.1 ${b}), 1.1 varnish`, [a]],
    [`1.1 ${a}0, 1.1 x${a}, ${a}, 1.1 psync-, 1.1 ${a} ${b}`, []],
  ];
  for (const [via, hops] of cases) {
    it(`${via ?? "none"}: ${hops.length} of psync`, () => {
      assert.deepEqual(psyncHops(via), hops);
    });
  }

  it("is read in time that grows with its length alone", () => {
    const begin = performance.now();
    for (const part of ["(", "((a)", " ", "1.1 ", "a/", ",", "1.1 psync-"]) {
      psyncHops(part.repeat(100_000));
    }
    assert.ok(performance.now() - begin < 5_000);
  });

  it("knows the names that psync makes", () => {
    const name = createPseudonym((sizeBytes) => Buffer.alloc(sizeBytes, 7));
    assert.deepEqual(psyncHops(`1.1 ${name}`), ["psync-0707070707070707"]);
  });
});

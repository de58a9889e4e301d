import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { formatCount, formatSize, parseSize } from "../../src/core/bytes.js";
import { isPsyncError } from "../../src/core/errors.js";

describe("sizes", () => {
  it("are read with and without units, in any case", () => {
    assert.equal(parseSize("4096"), 4096);
    assert.equal(parseSize("2MiB"), 2 * 1024 ** 2);
    assert.equal(parseSize("2mib"), 2 * 1024 ** 2);
    assert.equal(parseSize("10GB"), 1e10);
    assert.equal(parseSize("1.5 KiB"), 1536);
    assert.equal(parseSize("0"), 0);
  });

  it("that mean nothing are refused", () => {
    for (const text of ["", "MiB", "-1", "2XB", "1.0000001KiB", "1e3", "9".repeat(17), "2 M iB"]) {
      assert.throws(
        () => parseSize(text),
        (error) => isPsyncError(error, "ERR_PSYNC_USAGE"),
        text,
      );
    }
  });

  it("are shown in binary units", () => {
    assert.equal(formatSize(17), "17B");
    assert.equal(formatSize(2 * 1024 ** 2), "2MiB");
    assert.equal(formatSize(1.5 * 1024 ** 3), "1.5GiB");
    assert.equal(formatCount(1, "block"), "1 block");
    assert.equal(formatCount(1200, "block"), "1,200 blocks");
  });
});

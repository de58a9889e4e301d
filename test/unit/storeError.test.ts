/** What a failed system call of the store says to the user. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PsyncError } from "../../src/core/errors.js";
import { inParallel } from "../../src/core/inParallel.js";
import { storeError } from "../../src/store/storeError.js";

const failed = (code: string): Error => Object.assign(new Error(`${code}: as it is`), { code });

describe("storeError", () => {
  for (const [code, what] of [
    ["ENOSPC", "no space is left on the disk"],
    ["EDQUOT", "the disk quota of this user is used up"],
    ["EROFS", "the file system is mounted read-only"],
    ["EMFILE", "this process has too many files open"],
  ] as const) {
    it(`names the path and a way out of ${code}`, () => {
      const cause = failed(code);
      const error = storeError("write", "/store/tmp/x", cause);
      assert.equal(error.code, "ERR_PSYNC_STORE");
      assert.equal(error.message, `cannot write /store/tmp/x: ${what} (${code})`);
      assert.ok(error.hint);
      assert.equal(error.cause, cause);
    });
  }

  it("names what makes room", () => {
    for (const code of ["ENOSPC", "EDQUOT"]) {
      assert.match(storeError("write", "/x", failed(code)).hint ?? "", /psync gc.*--store/);
    }
  });

  it("leaves an I/O error of SQLite one where the disk has room", () => {
    const error = storeError("lock", "/x", failed("SQLITE_IOERR_SHMSIZE"));
    assert.equal(error.message, "cannot lock /x: SQLITE_IOERR_SHMSIZE: as it is");
  });

  it("passes on what it has no words for", () => {
    const error = storeError("write", "/store", failed("EWEIRD"));
    assert.equal(error.message, "cannot write /store: EWEIRD: as it is");
  });

  it("leaves an error alone that has its meaning already", () => {
    const error = new PsyncError("ERR_PSYNC_CORRUPT", "as it is");
    assert.equal(storeError("read", "/store", error), error);
  });
});

describe("inParallel", () => {
  it("starts nothing after a failure, and waits for what runs", async () => {
    const ended: number[] = [];
    const work = async (item: number): Promise<void> => {
      await new Promise(setImmediate);
      if (item === 1) throw new Error("one");
      await new Promise(setImmediate);
      ended.push(item);
    };
    await assert.rejects(inParallel([0, 1, 2, 3, 4, 5], 2, work), /one/);
    assert.deepEqual(ended, [0]);
  });

  it("runs everything, no more at once than it may", async () => {
    let running = 0;
    let most = 0;
    let done = 0;
    await inParallel(Array(20).keys(), 3, async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
      done += 1;
    });
    assert.deepEqual({ most, done }, { most: 3, done: 20 });
  });
});

import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { ERROR_TABLE, PsyncError, type ErrorCode } from "../../src/core/errors.js";
import { ERRNO, errnoOf } from "../../src/mount/errno.js";

test("every errno has the number that this system has", () => {
  for (const [name, number] of Object.entries(ERRNO)) {
    assert.equal(number, constants.errno[name as keyof typeof constants.errno], name);
  }
});

test("every error code has a positive errno", () => {
  for (const code of Object.keys(ERROR_TABLE) as ErrorCode[]) {
    const { errno, known } = errnoOf(new PsyncError(code, "x"));
    assert.ok(errno > 0 && known, code);
  }
});

test("what is not a PsyncError is EIO, whatever number it carries", () => {
  const system = Object.assign(new Error("x"), { code: "ENOENT", errno: 2 });
  for (const thrown of [new Error("x"), system, "text", undefined, 7]) {
    assert.deepEqual(errnoOf(thrown), { errno: 5, known: false });
  }
});

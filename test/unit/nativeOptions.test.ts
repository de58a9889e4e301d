import assert from "node:assert/strict";
import { test } from "node:test";
import { isPsyncError } from "../../src/core/errors.js";
import { nativeOptions } from "../../src/mount/driver/nativeOptions.js";

const OPTIONS = { mountpoint: "/mnt/a", sourceName: "lists", allowOther: false };

test("the options are a fixed list", () => {
  assert.equal(
    nativeOptions(OPTIONS),
    "-ofsname=lists,subtype=psync,use_ino,kernel_cache,attr_timeout=1,entry_timeout=1,negative_timeout=1",
  );
  assert.match(nativeOptions({ ...OPTIONS, allowOther: true }), /,allow_other$/);
});

test("a name that could be read as an option is refused", () => {
  for (const sourceName of ["a,suid", "a\\,b", "a\0b", "x".repeat(1000)]) {
    assert.throws(
      () => nativeOptions({ ...OPTIONS, sourceName }),
      (error) => isPsyncError(error, "ERR_PSYNC_MOUNT"),
    );
  }
});

test("a mountpoint that would be cut off is refused", () => {
  const longest = `/${"x".repeat(1021)}`;
  assert.ok(nativeOptions({ ...OPTIONS, mountpoint: longest }));
  for (const mountpoint of [`${longest}x`, `/${"é".repeat(511)}`, "/a\0b"]) {
    assert.throws(
      () => nativeOptions({ ...OPTIONS, mountpoint }),
      (error) => isPsyncError(error, "ERR_PSYNC_MOUNT"),
    );
  }
});

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  deviceNumber,
  isPsyncMount,
  parseMountInfo,
  topmostMount,
} from "../../src/core/mountTable.js";

const TABLE = [
  "27 1 254:0 / / rw,relatime - ext4 /dev/root rw",
  "42 27 0:39 / /mnt/a\\040b\\012c\\134d\\043 rw,nosuid shared:7 master:2 - fuse.psync my\\040lists rw,user_id=0",
  "",
  "no line of it",
].join("\n");

test("spaces, newlines, backslashes and hashes in paths are read back", () => {
  const entry = parseMountInfo(TABLE)[1];
  assert.deepEqual(entry, {
    mountId: 42,
    parentId: 27,
    deviceMajor: 0,
    deviceMinor: 39,
    mountpoint: "/mnt/a b\nc\\d#",
    type: "fuse.psync",
    source: "my lists",
  });
  assert.equal(isPsyncMount(entry), true);
});

test("lines that are not of its form are left out", () => {
  assert.equal(parseMountInfo(TABLE).length, 2);
});

test("of several mounts on one path, the one that shows is found", () => {
  const table = parseMountInfo(
    [
      "50 40 0:2 / /mnt rw - fuse.psync top rw",
      "30 27 0:1 / /mnt rw - ext4 bottom rw",
      "40 30 0:3 / /mnt rw - tmpfs middle rw",
      "60 27 0:4 / /mnt/x rw - tmpfs other rw",
    ].join("\n"),
  );
  assert.equal(topmostMount(table, "/mnt")?.source, "top");
  assert.equal(topmostMount(table, "/mn"), undefined);
});

test("the device number is the one that stat gives", () => {
  const entry = parseMountInfo(TABLE)[1];
  assert.ok(entry);
  assert.equal(deviceNumber(entry), 39);
  assert.equal(deviceNumber({ ...entry, deviceMajor: 254, deviceMinor: 0 }), 0xfe00);
  assert.equal(deviceNumber({ ...entry, deviceMajor: 0, deviceMinor: 0x12345 }), 0x12300045);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { createFileNodes, hiddenPathFor, isHiddenPath } from "../../src/mount/driver/fileNodes.js";
import type { Attributes } from "../../src/mount/driver/port.js";

const FILE: Attributes = {
  kind: "file",
  permissions: 0o444,
  sizeBytes: 1,
  mtimeMs: 1,
  ctimeMs: 1,
  inode: 9,
  uid: 0,
  gid: 0,
};

function harness(maxRemembered = 2) {
  const time = { nowMs: 0 };
  const nodes = createFileNodes({
    nowMs: () => time.nowMs,
    attributesValidMs: 1000,
    maxRemembered,
  });
  return { nodes, time };
}

test("a detached node goes on under its hidden path until its last file is closed", () => {
  const { nodes } = harness();
  const node = nodes.addHandle("/d/a", { version: "1", handle: 1 });
  nodes.addHandle("/d/a", { version: "1", handle: 2 });
  const hidden = hiddenPathFor("/d/a", 7);
  nodes.detach("/d/a", hidden);
  assert.equal(nodes.current("/d/a"), undefined);
  assert.equal(nodes.detached(hidden), node);
  nodes.removeHandle(node, 1);
  assert.equal(nodes.detached(hidden), node);
  nodes.removeHandle(node, 2);
  assert.equal(nodes.detached(hidden), undefined);
  assert.equal(nodes.size, 0);
});

test("a node is remembered after its files are closed, since its pages stay", () => {
  const { nodes } = harness();
  nodes.removeHandle(nodes.addHandle("/a", { version: "1", handle: 1 }), 1);
  assert.equal(nodes.current("/a")?.version, "1");
});

test("too many nodes: the oldest without open files goes first", () => {
  const { nodes } = harness();
  nodes.addHandle("/open", { version: "1", handle: 1 });
  for (const path of ["/a", "/b"]) {
    nodes.removeHandle(nodes.addHandle(path, { version: "1", handle: 2 }), 2);
  }
  const surplus = nodes.surplus();
  assert.equal(surplus?.path, "/a");
  nodes.postpone(surplus);
  assert.equal(nodes.surplus()?.path, "/b");
  nodes.detach("/b", hiddenPathFor("/b", 1));
  assert.equal(nodes.surplus(), undefined);
});

test("what the kernel was told is remembered for as long as it may believe it", () => {
  const { nodes, time } = harness();
  nodes.noteShown("/a", FILE);
  assert.equal(nodes.wasShownOtherwise("/a", FILE), false);
  for (time.nowMs = 0; time.nowMs <= 1000; time.nowMs += 100) {
    assert.equal(nodes.wasShownOtherwise("/a", { ...FILE, sizeBytes: 2 }), true);
  }
  nodes.noteShown("/a", { ...FILE, sizeBytes: 2 });
  assert.equal(nodes.wasShownOtherwise("/a", { ...FILE, sizeBytes: 2 }), false);
  time.nowMs += 60_000;
  assert.equal(nodes.wasShownOtherwise("/a", FILE), false);
});

test("hidden paths stay in their folder, and no other path is one", () => {
  assert.equal(hiddenPathFor("/d/e/a", 7), "/d/e/.psync-old-7");
  assert.ok(isHiddenPath(hiddenPathFor("/a", 1)));
  for (const path of ["/", "/a", "/.psync-old-1/a", "/a.psync-old-1"]) {
    assert.equal(isHiddenPath(path), false, path);
  }
});

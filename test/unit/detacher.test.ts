import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { createDetacher } from "../../src/mount/driver/detacher.js";
import { createFileNodes } from "../../src/mount/driver/fileNodes.js";
import type { RenameRequest } from "../../src/mount/driver/renameProcess.js";

function harness(onStep: (request: RenameRequest) => Promise<void>) {
  const steps: RenameRequest[] = [];
  const nodes = createFileNodes({ nowMs: () => 0, attributesValidMs: 1000, maxRemembered: 9 });
  const detacher = createDetacher({
    nodes,
    renamer: {
      send(request) {
        steps.push(request);
        return onStep(request);
      },
      close: () => undefined,
    },
    clock: systemClock,
    log: silentLogger,
    mount: { mountpoint: "/mnt", device: 39 },
    maxHoldMs: 20,
    maxQuietWaitMs: 20,
  });
  return { steps, nodes, detacher };
}

test("opens that meet on a changed file detach it once", async () => {
  const { steps, detacher, nodes } = harness(() => Promise.resolve());
  nodes.addHandle("/d/a", { version: "1", handle: 1 });
  await Promise.all([1, 2, 3].map(() => detacher.begin("/d/a")));
  await detacher.idle();
  assert.deepEqual(steps, [
    { step: "prepare", folder: "/mnt/d", name: "a", device: 39 },
    { step: "rename", name: "a", hiddenName: ".psync-old-1" },
  ]);
});

test("only the rename that was asked for is let through, and only while it runs", async () => {
  const allowed: boolean[] = [];
  const { detacher, nodes } = harness((request) => {
    if (request.step === "rename") {
      for (const [from, to] of [
        ["/a", "/b"],
        ["/b", "/.psync-old-1"],
        ["/a", "/.psync-old-1"],
      ] as const) {
        allowed.push(detacher.allowRename(from, to));
      }
    }
    return Promise.resolve();
  });
  nodes.addHandle("/a", { version: "1", handle: 1 });
  assert.equal(detacher.allowRename("/a", "/.psync-old-1"), false);
  await detacher.begin("/a");
  await detacher.idle();
  assert.deepEqual(allowed, [false, false, true]);
  assert.equal(nodes.current("/a"), undefined);
  assert.equal(detacher.allowRename("/a", "/.psync-old-1"), false);
});

test("an open is answered when the rename begins, and a lookup held until it ends", async () => {
  let finish = (): void => undefined;
  const { detacher } = harness((request) =>
    request.step === "rename"
      ? new Promise((resolve) => {
          finish = resolve;
        })
      : Promise.resolve(),
  );
  await detacher.begin("/a");
  assert.equal(detacher.isRenaming("/a"), true);
  // A rename that does not end holds a lookup for a bounded time.
  await detacher.hold("/a");
  const held = detacher.hold("/a");
  finish();
  await held;
  await detacher.idle();
  assert.equal(detacher.isRenaming("/a"), false);
});

test("a folder that is not on the mount any more: the open fails, nothing is renamed", async () => {
  const { steps, detacher } = harness(() => Promise.reject(new Error("not on the mount")));
  await assert.rejects(detacher.begin("/a"), /could not be detached/);
  assert.deepEqual(
    steps.map(({ step }) => step),
    ["prepare"],
  );
  assert.equal(detacher.isRenaming("/a"), false);
});

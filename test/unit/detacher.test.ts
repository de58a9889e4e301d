import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { createDetacher } from "../../src/mount/driver/detacher.js";
import { createFileNodes } from "../../src/mount/driver/fileNodes.js";
import type { RenameRequest } from "../../src/mount/driver/renameProcess.js";
import { until } from "../support/until.js";

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
  });
  return { steps, nodes, detacher };
}

test("opens that meet on a changed file detach it once", async () => {
  const { steps, detacher, nodes } = harness(() => Promise.resolve());
  nodes.addHandle("/d/a", { version: "1", handle: 1 });
  await Promise.all([1, 2, 3].map(() => detacher.begin("/d/a", 1000)));
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
  await detacher.begin("/a", 1000);
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
  await detacher.begin("/a", 1000);
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
  await assert.rejects(detacher.begin("/a", 1000), /could not be detached/);
  assert.deepEqual(
    steps.map(({ step }) => step),
    ["prepare"],
  );
  assert.equal(detacher.isRenaming("/a"), false);
});

test("while calls on the node wait for data nothing is sent, and other paths do not wait for it", async () => {
  const { steps, detacher, nodes } = harness(() => Promise.resolve());
  const stalled = nodes.addHandle("/a", { version: "1", handle: 1 });
  nodes.addHandle("/b", { version: "1", handle: 2 });
  stalled.callsPending = 1;
  const waiting = detacher.begin("/a", 60_000);
  await detacher.begin("/b", 1000);
  await detacher.idle();
  assert.equal(steps.length, 2);
  stalled.callsPending = 0;
  await waiting;
  await detacher.idle();
  assert.equal(steps.length, 4);
});

test("a node that stays busy is given up in time", async () => {
  const { steps, detacher, nodes } = harness(() => Promise.resolve());
  nodes.addHandle("/a", { version: "1", handle: 1 }).callsPending = 1;
  await assert.rejects(detacher.begin("/a", 200), { code: "ERR_PSYNC_DEADLINE" });
  assert.deepEqual(steps, []);
});

test("a call that comes while the rename is prepared: it is given up, and tried again", async () => {
  const sent: string[] = [];
  const { detacher, nodes } = harness((request) => {
    sent.push(request.step);
    node.callsPending = sent.length === 1 ? 1 : 0;
    return Promise.resolve();
  });
  const node = nodes.addHandle("/a", { version: "1", handle: 1 });
  await detacher.begin("/a", 5000);
  await detacher.idle();
  assert.deepEqual(sent, ["prepare", "cancel", "prepare", "rename"]);
});

test("readers that leave no quiet moment have their answers held until there is one", async () => {
  const { detacher, nodes } = harness(() => Promise.resolve());
  const node = nodes.addHandle("/a", { version: "1", handle: 1 });
  let reading = true;
  const reader = async (): Promise<void> => {
    while (reading) {
      node.callsPending += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      node.callsPending -= 1;
      await node.answersHeld;
    }
  };
  const readers = [1, 2, 3].map((offset) =>
    new Promise((resolve) => setTimeout(resolve, offset * 6)).then(reader),
  );
  await until("all read", () => node.callsPending === 3);
  await detacher.begin("/a", 2000);
  reading = false;
  await Promise.all(readers);
  assert.equal(node.answersHeld, undefined);
});

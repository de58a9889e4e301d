import { strict as assert } from "node:assert";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { seededBytes } from "../support/blocks.js";
import { listsFixture, shell } from "../support/mountedCli.js";
import { skipReason } from "../support/mounting.js";
import { until } from "../support/until.js";

const MIB = 1024 * 1024;

describe("read-ahead of a mounted file", { skip: skipReason() }, () => {
  it("AHEAD-1: a file read in order is fetched ahead of its reader, each block once", async (t) => {
    const { add, mount, serve, blocks, store } = await listsFixture(t);
    const bytes = seededBytes("in order", 40 * MIB);
    await add("file", bytes);
    const server = await serve();
    const { folder } = await mount([server.url]);
    const file = await open(join(folder, "file"));
    try {
      const piece = Buffer.alloc(64 * 1024);
      // Up to the middle of the third block: the fourth and the fifth come, and nothing more.
      for (let at = 0; at < 5 * MIB; at += piece.length)
        await file.read(piece, 0, piece.length, at);
      // Until they are there: closing the file ends what is still on its way.
      await until("five blocks came", async () => (await countOf(join(store, "cache"))) >= 5);
      const first = blocks.slice(0, 6).map(({ hash }) => server.requestCount(hash));
      assert.deepEqual(first, [1, 1, 1, 1, 1, 0]);
    } finally {
      await file.close();
    }
    await shell("dd if=file bs=64k status=none | sha256sum | cut -c1-64", folder);
    for (const { hash } of blocks) assert.equal(server.requestCount(hash), 1);
  });

  it("READ-2: reads of scattered blocks fetch exactly those, also beside a reader in order of another file", async (t) => {
    const { add, mount, serve, blocks } = await listsFixture(t);
    await add("random", seededBytes("random", 60 * MIB));
    const random = blocks.slice(0, 30);
    await add("ordered", seededBytes("ordered", 12 * MIB));
    const server = await serve();
    const { folder } = await mount([server.url]);
    const file = await open(join(folder, "random"));
    const ordered = open(join(folder, "ordered")).then(async (other) => {
      try {
        const piece = Buffer.alloc(MIB);
        for (let at = 0; at < 12 * MIB; at += MIB) await other.read(piece, 0, MIB, at);
      } finally {
        await other.close();
      }
    });
    const touched = [20, 3, 27, 11, 6, 24, 1, 16];
    try {
      const piece = Buffer.alloc(4096);
      for (const block of touched) {
        // In the middle: the kernel reads a little ahead of a reader.
        await file.read(piece, 0, piece.length, block * 2 * MIB + MIB);
        await file.read(piece, 0, piece.length, block * 2 * MIB + MIB / 2);
      }
      await ordered;
    } finally {
      await file.close();
    }
    const counts = random.map(({ hash }) => server.requestCount(hash));
    assert.deepEqual(
      counts,
      random.map((_block, index) => (touched.includes(index) ? 1 : 0)),
    );
    assert.equal(server.requestCount(), touched.length + 6);
  });
});

async function countOf(folder: string): Promise<number> {
  return (await readdir(folder)).length;
}

/** What every BlockStore must do, whatever it is made of. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockStore } from "../../src/block/ports.js";
import { isPsyncError } from "../../src/core/errors.js";
import { blockOf } from "../../src/block/verify.js";
import { makeBlock } from "../support/storeFixtures.js";

/** One place where blocks lie, and the stores over it. */
export interface BlockStoreHarness {
  /** Another store over the same place, as another process would open it. */
  open(): Promise<BlockStore>;
  /** Makes a stored block's bytes wrong, keeping their length. */
  corrupt(hash: BlockHash): Promise<void>;
  dispose(): Promise<void>;
}

export function describeBlockStore(name: string, create: () => Promise<BlockStoreHarness>): void {
  const check = (
    what: string,
    body: (harness: BlockStoreHarness, store: BlockStore) => Promise<void>,
  ): void => {
    it(what, async () => {
      const harness = await create();
      const store = await harness.open();
      try {
        await body(harness, store);
      } finally {
        await store.close();
        await harness.dispose();
      }
    });
  };
  const missing = makeBlock(999).hash;

  describe(`${name}, as every block store`, () => {
    check("a block that was never stored is not there", async (_, store) => {
      assert.equal(await store.find(missing), undefined);
      assert.equal(await store.read(missing), undefined);
      assert.equal(await store.pin(missing), false);
    });

    check("a kept block is found and read", async (_, store) => {
      const block = makeBlock(1, 5000);
      await store.keep([block]);
      assert.deepEqual(await store.find(block.hash), { place: "kept", sizeBytes: 5000 });
      assert.deepEqual(bytesOf(await store.read(block.hash)), Buffer.from(block.bytes));
    });

    check("a cached block is found and read", async (_, store) => {
      const block = makeBlock(2, 5000);
      await store.cache(block);
      assert.deepEqual(await store.find(block.hash), { place: "cached", sizeBytes: 5000 });
      assert.deepEqual(bytesOf(await store.read(block.hash)), Buffer.from(block.bytes));
    });

    check("an empty block is a block", async (_, store) => {
      const block = blockOf(new Uint8Array(0));
      await store.keep([block]);
      assert.equal((await store.read(block.hash))?.bytes.length, 0);
    });

    check("keeping no blocks, or one twice, is fine", async (_, store) => {
      const block = makeBlock(3);
      await store.keep([]);
      await store.keep([block, block]);
      await store.keep([block]);
      assert.deepEqual(bytesOf(await store.read(block.hash)), Buffer.from(block.bytes));
    });

    check("a batch of more blocks than are written at once is kept whole", async (_, store) => {
      const blocks = Array.from({ length: 40 }, (__, i) => makeBlock(100 + i));
      await store.keep(blocks);
      for (const block of blocks) assert.equal((await store.find(block.hash))?.place, "kept");
    });

    check("keeping a cached block moves it", async (_, store) => {
      const block = makeBlock(4);
      await store.cache(block);
      await store.keep([block]);
      assert.equal((await store.find(block.hash))?.place, "kept");
    });

    check("pinning a cached block makes it kept", async (_, store) => {
      const block = makeBlock(5);
      await store.cache(block);
      assert.equal(await store.pin(block.hash), true);
      assert.equal((await store.find(block.hash))?.place, "kept");
      assert.equal(await store.pin(block.hash), true);
    });

    check("kept blocks are made durable again, and no others", async (_, store) => {
      const [kept, cached] = [makeBlock(13), makeBlock(14)];
      await store.keep([kept]);
      await store.cache(cached);
      await store.sync([]);
      await store.sync([kept.hash, kept.hash]);
      const isStoreError = (error: unknown): boolean => isPsyncError(error, "ERR_PSYNC_STORE");
      await assert.rejects(store.sync([kept.hash, cached.hash]), isStoreError);
      await assert.rejects(store.sync([missing]), isStoreError);
      // That one was not there is no failed sync.
      await store.sync([kept.hash]);
      await store.keep([cached]);
    });

    check("caching a kept block leaves it kept", async (_, store) => {
      const block = makeBlock(6);
      await store.keep([block]);
      await store.cache(block);
      assert.equal((await store.find(block.hash))?.place, "kept");
    });

    for (const place of ["kept", "cached"] as const) {
      check(`a corrupt ${place} block is not there, and can be stored again`, async (harness) => {
        const block = makeBlock(7, 4096);
        const put = (store: BlockStore): Promise<void> =>
          place === "kept" ? store.keep([block]) : store.cache(block);
        const store = await harness.open();
        await put(store);
        await harness.corrupt(block.hash);
        assert.equal(await store.read(block.hash), undefined);
        assert.equal(await store.find(block.hash), undefined);
        await put(store);
        assert.deepEqual(bytesOf(await store.read(block.hash)), Buffer.from(block.bytes));
        await store.close();
      });
    }

    check("a corrupt cached block is not pinned", async (harness, store) => {
      const block = makeBlock(8);
      await store.cache(block);
      await harness.corrupt(block.hash);
      assert.equal(await store.pin(block.hash), false);
      assert.equal(await store.find(block.hash), undefined);
    });

    check("keeping replaces a kept block that is corrupt", async (harness, store) => {
      const block = makeBlock(9);
      await store.keep([block]);
      await harness.corrupt(block.hash);
      await store.keep([block]);
      assert.deepEqual(bytesOf(await store.read(block.hash)), Buffer.from(block.bytes));
    });

    check("two stores over one place see each other's blocks", async (harness, store) => {
      const other = await harness.open();
      const [kept, cached] = [makeBlock(10), makeBlock(11)];
      await store.keep([kept]);
      await store.cache(cached);
      assert.equal((await other.find(kept.hash))?.place, "kept");
      assert.deepEqual(bytesOf(await other.read(cached.hash)), Buffer.from(cached.bytes));
      assert.equal(await other.pin(cached.hash), true);
      assert.equal((await store.find(cached.hash))?.place, "kept");
      await other.close();
    });

    check("a block stays readable in one store while another pins it", async (harness, store) => {
      const other = await harness.open();
      for (let i = 0; i < 30; i += 1) {
        const block = makeBlock(200 + i);
        await store.cache(block);
        const [pinned, ...reads] = await Promise.all([
          other.pin(block.hash),
          ...Array.from({ length: 4 }, () => store.read(block.hash)),
        ]);
        assert.equal(pinned, true);
        for (const read of reads) assert.ok(read);
      }
      await other.close();
    });

    check("the same block can be stored by many at once", async (harness, store) => {
      const other = await harness.open();
      const block = makeBlock(12, 100_000);
      await Promise.all([
        store.keep([block]),
        other.keep([block]),
        store.cache(block),
        other.cache(block),
        store.keep([block]),
      ]);
      assert.equal((await other.find(block.hash))?.place, "kept");
      assert.deepEqual(bytesOf(await store.read(block.hash)), Buffer.from(block.bytes));
      await other.close();
    });

    check("closing twice is fine", async (harness) => {
      const store = await harness.open();
      await store.close();
      await store.close();
    });
  });
}

function bytesOf(block: { readonly bytes: Uint8Array } | undefined): Buffer | undefined {
  return block && Buffer.from(block.bytes);
}

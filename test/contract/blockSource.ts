/** What every BlockSource must do, whatever stands behind it. Source: src/block/ports.ts. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockSource } from "../../src/block/ports.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { isBlockMissing } from "../../src/core/errors.js";
import { seededBlock } from "../support/blocks.js";

export interface BlockSourceHarness {
  readonly source: BlockSource;
  close(): Promise<void>;
}

export interface BlockSourceBehind {
  /** What the source can give. */
  readonly blocks: readonly VerifiedBlock[];
  /** What it is asked for and gets no answer about, as long as the source can; see `canStall`. */
  readonly stalled: readonly BlockHash[];
}

export interface BlockSourceContract {
  readonly name: string;
  readonly create: (behind: BlockSourceBehind) => Promise<BlockSourceHarness>;
  /** Whether something behind the source can keep it waiting. */
  readonly canStall: boolean;
}

/** Registers the suite with node:test. */
export function describeBlockSource({ name, create, canStall }: BlockSourceContract): void {
  describe(`${name} is a block source`, () => {
    const maxBytes = 64 * 1024;
    const whole = seededBlock("whole", maxBytes);
    const tooLong = seededBlock("too long", maxBytes + 1);
    const empty = seededBlock("empty", 0);
    const many = Array.from({ length: 24 }, (_, index) =>
      seededBlock(`many ${index}`, 1000 + index),
    );
    const stalled = seededBlock("stalled");
    const unknown = seededBlock("unknown");
    let harness: BlockSourceHarness;
    before(async () => {
      const blocks = [whole, tooLong, empty, ...many];
      harness = await create({ blocks, stalled: [stalled.hash] });
    });
    after(() => harness.close());

    const fetch = (hash: BlockHash, signal = new AbortController().signal) =>
      harness.source.fetch({ hash, maxBytes, signal });
    const isUnavailable = (error: unknown) => isBlockMissing(error);

    it("gives a block of exactly the most bytes, under its name", async () => {
      const block = await fetch(whole.hash);
      assert.equal(block.hash, whole.hash);
      assert.deepEqual(Buffer.from(block.bytes), Buffer.from(whole.bytes));
    });

    it("gives the empty block", async () => {
      assert.equal((await fetch(empty.hash)).bytes.length, 0);
    });

    it("gives many blocks at once, each to whom it belongs", async () => {
      const blocks = await Promise.all(many.map(({ hash }) => fetch(hash)));
      for (const [index, block] of blocks.entries()) {
        assert.deepEqual(Buffer.from(block.bytes), Buffer.from(many[index]?.bytes ?? []));
      }
    });

    it("says that a block nobody has is unavailable, and names it", async () => {
      await assert.rejects(
        fetch(unknown.hash),
        (error) => isUnavailable(error) && String(error).includes(unknown.hash),
      );
    });

    it("does not give a block longer than was asked for", async () => {
      await assert.rejects(fetch(tooLong.hash), isUnavailable);
    });

    it("gives blocks after it failed to", async () => {
      assert.equal((await fetch(whole.hash)).bytes.length, maxBytes);
    });

    it("rejects with the signal's reason where it is aborted already", async () => {
      const reason = new Error("not wanted");
      await assert.rejects(fetch(whole.hash, AbortSignal.abort(reason)), reason);
    });

    it(
      "rejects with the signal's reason soon after it is aborted",
      { skip: canStall ? false : "nothing behind it can stall" },
      async () => {
        const reason = new Error("not wanted any more");
        const controller = new AbortController();
        const fetching = fetch(stalled.hash, controller.signal);
        setImmediate(() => {
          controller.abort(reason);
        });
        await assert.rejects(fetching, reason);
      },
    );
  });
}

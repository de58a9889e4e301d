/** Lists and sources made from bytes, for tests that need no store and no server. */
import { randomBytes } from "node:crypto";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockRequest, BlockSource } from "../../src/block/ports.js";
import { blockOf, type VerifiedBlock } from "../../src/block/verify.js";
import { PsyncError } from "../../src/core/errors.js";
import { formatHashLine, formatTrailer } from "../../src/hashlist/format.js";
import type { Hashlist } from "../../src/hashlist/hashlist.js";
import { parseHashlist } from "../../src/hashlist/parse.js";

export interface ListedBytes {
  readonly text: string;
  readonly list: Hashlist;
  readonly blocks: ReadonlyMap<BlockHash, VerifiedBlock>;
}

/** The list of some bytes, with its trailer unless `plain`, and their blocks. */
export async function listOf(
  bytes: Uint8Array,
  blockSizeBytes = 2 * 1024 * 1024,
  { plain = false } = {},
): Promise<ListedBytes> {
  const blocks = new Map<BlockHash, VerifiedBlock>();
  let text = "";
  for (let at = 0; at < bytes.length; at += blockSizeBytes) {
    const block = blockOf(bytes.subarray(at, at + blockSizeBytes));
    blocks.set(block.hash, block);
    text += formatHashLine(block.hash);
  }
  if (!plain) text += formatTrailer({ sizeBytes: bytes.length, blockSizeBytes });
  const list = await parseHashlist([Buffer.from(text)], { name: "test" });
  return { text, list, blocks };
}

/** A source over a map, which notes what it was asked for. */
export function mapSource(blocks: ReadonlyMap<BlockHash, VerifiedBlock>): {
  readonly source: BlockSource;
  readonly asked: BlockRequest[];
} {
  const asked: BlockRequest[] = [];
  return {
    asked,
    source: {
      async fetch(request) {
        asked.push(request);
        await Promise.resolve();
        const block = blocks.get(request.hash);
        if (block) return block;
        throw new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", `no block ${request.hash}`);
      },
    },
  };
}

/** Lines of a list whose blocks nobody has. */
export function madeUpHashes(count: number): string {
  const hex = randomBytes(count * 32).toString("hex");
  return hex.replace(/.{64}/g, "$&\n");
}

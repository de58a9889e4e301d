/**
 * A hashlist seen as a readable, seekable file. Reads hold no position and run side by side;
 * what follows them only decides which blocks are asked for ahead.
 */
import type { BlockSource } from "../block/ports.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { blockLengthBytes, spansOf, type Geometry, type Span } from "../hashlist/geometry.js";
import type { Hashlist } from "../hashlist/hashlist.js";
import { createReadAhead, type SharedReadAhead } from "./readAhead.js";

export interface ByteRange {
  /** Integer ≥ 0. */
  readonly offset: number;
  /** Integer ≥ 0. */
  readonly length: number;
}

export interface View {
  readonly sizeBytes: number;
  /**
   * Reads bytes of the file, fetching the blocks they touch, each once. Reads in order also ask for blocks ahead.
   *
   * @returns pieces of verified blocks, in order, which nobody may change; together they are as long as the
   * range, and shorter only at the end of the file: a range at or past it gives none
   * @throws ERR_PSYNC_BLOCK_UNAVAILABLE no source had a valid copy
   * @throws ERR_PSYNC_CORRUPT a block has another length than the list says
   * @throws the signal's reason
   * Cost: at most ceil((length − 1) / blockSize) + 1 blocks. Source: docs/semantics.md, READ-1 and AHEAD-1.
   */
  read(range: ByteRange, signal: AbortSignal): Promise<readonly Uint8Array[]>;
  /** Ends what is asked for ahead. Reads go on. */
  close(): void;
}

/**
 * @param parts.sizeBytes the file's size, as the trailer says or as it was learned from the last block
 * @param parts.readAhead shared by the files of a mount; without it nothing is asked for ahead
 */
export function createView(parts: {
  readonly list: Hashlist;
  readonly sizeBytes: number;
  readonly source: BlockSource;
  readonly readAhead?: SharedReadAhead | undefined;
}): View {
  const { list, sizeBytes, source, readAhead: shared } = parts;
  const readAhead = shared && createReadAhead({ list, source, shared });
  const { blockCount, blockSizeBytes } = list;
  const geometry: Geometry = { sizeBytes, blockSizeBytes, blockCount };

  const readSpan = async (span: Span, signal: AbortSignal): Promise<Uint8Array> => {
    const hash = list.hashAt(span.blockIndex);
    const lengthBytes = blockLengthBytes(geometry, span.blockIndex);
    // The block size, not this block's length: so lists of one block size share their flights.
    const block = await source.fetch({ hash, maxBytes: blockSizeBytes, signal });
    if (block.bytes.length !== lengthBytes) {
      throw wrongLength({ list, blockIndex: span.blockIndex, lengthBytes }, block.bytes.length);
    }
    return block.bytes.subarray(span.startBytes, span.startBytes + span.lengthBytes);
  };

  return {
    sizeBytes,
    async read(range, signal) {
      const spans = spansOf(geometry, range);
      const [first, last] = [spans[0]?.blockIndex, spans.at(-1)?.blockIndex];
      if (first === undefined || last === undefined) return [];
      const parts: Uint8Array[] = [];
      let readIsOver: (() => void) | undefined;
      try {
        // Blocks may be a byte long: a read of many must not ask for all of them at once.
        for (let at = 0; at < spans.length; at += LIMITS.read.blocksPerReadAtOnce) {
          const few = spans.slice(at, at + LIMITS.read.blocksPerReadAtOnce);
          const pieces = Promise.all(few.map((span) => readSpan(span, signal)));
          // Behind what the read itself waits for.
          readIsOver ??= readAhead?.follow({ first, last });
          parts.push(...(await pieces));
        }
      } finally {
        readIsOver?.();
      }
      return parts;
    },
    close() {
      readAhead?.close();
    },
  };
}

/** A block that has its right name and the wrong length for its place: the list is at fault, not the block. */
export function wrongLength(
  expected: { readonly list: Hashlist; readonly blockIndex: number; readonly lengthBytes: number },
  seenBytes: number,
): PsyncError {
  const { list, blockIndex, lengthBytes } = expected;
  return new PsyncError(
    "ERR_PSYNC_CORRUPT",
    `block ${blockIndex + 1} of ${list.blockCount} (${list.hashAt(blockIndex)}) has ${seenBytes} bytes, ` +
      `and the list says ${lengthBytes}`,
    { hint: "the list does not describe one file: make it again with `psync export`" },
  );
}

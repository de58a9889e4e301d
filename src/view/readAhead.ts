/**
 * Asks for blocks ahead of those who read an open file in order, so that they lie in memory when they are read.
 * What is asked for follows from `streams.ts`; here it is begun, counted against the budget, and ended.
 * Nothing of it is ever an error: a block that did not come is asked for again by its reader.
 */
import type { BlockSource } from "../block/ports.js";
import type { Clock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { createAhead } from "../core/urgency.js";
import type { Hashlist } from "../hashlist/hashlist.js";
import { createAheadBudget, type AheadBudget, type AheadShare } from "./aheadBudget.js";
import { createLine, type Line } from "./line.js";
import { createStreams, type BlockSpan, type Stream } from "./streams.js";

/** What the open files of a mount share. */
export interface SharedReadAhead {
  readonly budget: AheadBudget;
  readonly line: Line;
}

/** @param options.maxBytes what may be asked for and not yet read; LIMITS.memory.aheadBytes unless said otherwise */
export function createSharedReadAhead(options: {
  readonly clock: Clock;
  readonly maxBytes?: number;
}): SharedReadAhead {
  const { clock, maxBytes = LIMITS.memory.aheadBytes } = options;
  return { budget: createAheadBudget({ clock, maxBytes }), line: createLine(clock) };
}

export interface ReadAhead {
  /**
   * Notes a read that has asked for its own blocks, and asks for those ahead of it.
   *
   * @returns to be called when the read is over: what it took over from read-ahead ends with it
   */
  follow(read: BlockSpan): () => void;
  /** Ends what is under way; from then on nothing is asked for. */
  close(): void;
}

/** What a stream has asked for and not read yet, under way or come. */
interface Asked {
  readonly share: AheadShare;
  readonly blocks: Map<number, AbortController>;
}

export function createReadAhead(parts: {
  readonly list: Hashlist;
  readonly source: BlockSource;
  readonly shared: SharedReadAhead;
}): ReadAhead {
  const { list, source, shared } = parts;
  const { blockCount, blockSizeBytes } = list;
  const streams = createStreams({ blockCount, blockSizeBytes });
  const askedBy = new Map<Stream, Asked>();
  // A reader's own block would not find room beside it.
  const isTooLarge = 2 * blockSizeBytes > LIMITS.memory.inFlightBytes;
  let isClosed = false;

  const join = (stream: Stream): Asked => {
    const share = shared.budget.join(() => {
      end(stream);
    });
    const asked: Asked = { share, blocks: new Map() };
    askedBy.set(stream, asked);
    return asked;
  };

  const end = (stream: Stream): void => {
    streams.end(stream);
    const asked = askedBy.get(stream);
    askedBy.delete(stream);
    asked?.share.leave();
    abortAll(asked?.blocks.values() ?? []);
  };

  const askFor = (stream: Stream, asked: Asked, blockIndex: number): void => {
    const controller = new AbortController();
    asked.blocks.set(blockIndex, controller);
    const ended = shared.line.asked();
    const request = {
      hash: list.hashAt(blockIndex),
      maxBytes: blockSizeBytes,
      signal: controller.signal,
      urgency: createAhead(),
    };
    source.fetch(request).then(
      ({ bytes }) => {
        ended(bytes.length);
      },
      () => {
        ended(0);
        // Else it is nobody's any more, or its reader's.
        if (asked.blocks.get(blockIndex) !== controller) return;
        asked.blocks.delete(blockIndex);
        asked.share.give(blockSizeBytes);
        streams.broke(stream, blockIndex);
      },
    );
  };

  const askAhead = (stream: Stream, wanted: BlockSpan): void => {
    if (wanted.last < wanted.first) return;
    const asked = askedBy.get(stream) ?? join(stream);
    for (let blockIndex = wanted.first; blockIndex <= wanted.last; blockIndex += 1) {
      if (asked.blocks.has(blockIndex)) continue;
      if (!asked.share.take(blockSizeBytes)) return;
      askFor(stream, asked, blockIndex);
    }
  };

  /** What of these blocks was asked for: not ahead of its reader any more. */
  const takeOut = ({ blocks, share }: Asked, { first, last }: BlockSpan): AbortController[] => {
    const taken = [...blocks].filter(([blockIndex]) => blockIndex >= first && blockIndex <= last);
    for (const [blockIndex] of taken) {
      blocks.delete(blockIndex);
      share.give(blockSizeBytes);
    }
    return taken.map(([, controller]) => controller);
  };

  return {
    follow(read) {
      if (isClosed || isTooLarge) return () => undefined;
      const lineBlocks = Math.floor(shared.line.worthwhileBytes() / blockSizeBytes);
      const { stream, wanted, jumpedBefore, ended } = streams.follow(read, lineBlocks);
      for (const other of ended) end(other);
      const asked = askedBy.get(stream);
      asked?.share.noteRead();
      const taken = asked ? takeOut(asked, read) : [];
      if (asked) abortAll(takeOut(asked, { first: 0, last: jumpedBefore - 1 }));
      askAhead(stream, wanted);
      return () => {
        abortAll(taken);
      };
    },
    close() {
      isClosed = true;
      for (const stream of [...askedBy.keys()]) end(stream);
    },
  };
}

/** Ends what is under way; for a block that came it changes nothing. */
function abortAll(controllers: Iterable<AbortController>): void {
  for (const controller of controllers) {
    controller.abort(new PsyncError("ERR_PSYNC_INTERRUPTED", "nobody reads that far any more"));
  }
}

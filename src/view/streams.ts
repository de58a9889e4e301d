/**
 * Which reads of an open file go on from which, and how far ahead of each reader blocks are worth asking for.
 * Pure: it asks for nothing, and knows neither time nor budget. Reads arrive in pieces, a little out of order.
 */
import { LIMITS } from "../core/limits.js";

/** Blocks `first` to `last`, both included; none where `last` is before `first`. */
export interface BlockSpan {
  readonly first: number;
  readonly last: number;
}

/** Reads that go on from one another: one reader of the file, as far as that can be seen from its reads. */
export interface Stream {
  /** The highest block that it has touched. */
  readonly front: number;
  /** How many blocks are wanted behind the front; 0 until it has read in order. */
  readonly windowBlocks: number;
}

export interface Step {
  /** The stream that the read goes on with, or begins. */
  readonly stream: Stream;
  /** Blocks to have on their way, each behind the front and in the list. */
  readonly wanted: BlockSpan;
  /** What was wanted before this block and never read was jumped over, and is not wanted any more. */
  readonly jumpedBefore: number;
  /** Streams that are over. */
  readonly ended: readonly Stream[];
}

export interface Streams {
  /**
   * Notes a read.
   *
   * @param lineBlocks how many blocks the line holds on their way; more than 16 widen the window of a reader in order
   */
  follow(read: BlockSpan, lineBlocks: number): Step;
  /** Notes that a wanted block was not to be had: nothing is wanted until the reader is past it. */
  broke(stream: Stream, blockIndex: number): void;
  end(stream: Stream): void;
}

interface StreamState extends Stream {
  front: number;
  windowBlocks: number;
  /** Where the read began that moved the front last. */
  frontReadFirst: number;
  /** The lowest block ahead that was not to be had. */
  brokenAt: number | undefined;
  /** The number of its latest read, counting all of the file. */
  lastRead: number;
}

const { streamsPerFile, streamIdleReads, windowBlocks, maxWindowBlocks, outOfOrderBytes } =
  LIMITS.readAhead;

export function createStreams(file: {
  readonly blockCount: number;
  readonly blockSizeBytes: number;
}): Streams {
  const outOfOrderBlocks = Math.floor(outOfOrderBytes / file.blockSizeBytes);
  const streams = new Set<StreamState>();
  let readCount = 0;

  const stateOf = (stream: Stream): StreamState | undefined =>
    [...streams].find((state) => state === stream);

  /** The blocks at which a read must begin to belong to a stream. */
  const reachOf = ({ front, frontReadFirst, windowBlocks: window }: StreamState): BlockSpan => {
    // One that has not read in order yet has proved nothing: only what touches it can belong to it.
    const slack = window === 0 ? 0 : Math.max(window, outOfOrderBlocks);
    return {
      first: Math.min(frontReadFirst - 1, front - slack),
      last: front + Math.max(1, slack),
    };
  };

  /** Of the streams that a read can belong to, the one whose front it is nearest to. */
  const streamOf = (read: BlockSpan): StreamState | undefined => {
    let nearest: StreamState | undefined;
    const distanceTo = (stream: StreamState): number => Math.abs(read.first - stream.front);
    for (const stream of streams) {
      const reach = reachOf(stream);
      if (read.first < reach.first || read.first > reach.last) continue;
      const closer = nearest ? distanceTo(nearest) - distanceTo(stream) : 1;
      const wider = nearest ? stream.windowBlocks - nearest.windowBlocks : 0;
      if (closer > 0 || (closer === 0 && wider > 0)) nearest = stream;
    }
    return nearest;
  };

  const advance = (stream: StreamState, read: BlockSpan, lineBlocks: number): void => {
    if (read.last <= stream.front) return;
    stream.front = read.last;
    stream.frontReadFirst = read.first;
    if (stream.brokenAt !== undefined) {
      if (read.last > stream.brokenAt) {
        stream.brokenAt = undefined;
        stream.windowBlocks = 1;
      }
      return;
    }
    const most = Math.min(Math.max(windowBlocks, lineBlocks), maxWindowBlocks);
    stream.windowBlocks = Math.min(Math.max(1, stream.windowBlocks * 2), most);
  };

  const begin = (read: BlockSpan): StreamState => {
    const stream: StreamState = {
      front: read.last,
      windowBlocks: 0,
      frontReadFirst: read.first,
      brokenAt: undefined,
      lastRead: readCount,
    };
    streams.add(stream);
    return stream;
  };

  /** Random reads each begin a stream: they replace one another before any that reads in order. */
  const surplus = (): StreamState | undefined => {
    if (streams.size < streamsPerFile) return undefined;
    const byUse = [...streams].sort((a, b) => a.lastRead - b.lastRead);
    return byUse.find((stream) => stream.windowBlocks === 0) ?? byUse[0];
  };

  return {
    follow(read, lineBlocks) {
      readCount += 1;
      const ended: StreamState[] = [];
      let stream = streamOf(read);
      if (stream) {
        advance(stream, read, lineBlocks);
      } else {
        const replaced = surplus();
        if (replaced) ended.push(replaced);
        stream = begin(read);
      }
      stream.lastRead = readCount;
      for (const other of streams) {
        if (readCount - other.lastRead >= streamIdleReads) ended.push(other);
      }
      for (const over of ended) streams.delete(over);
      const { front, brokenAt, windowBlocks: window } = stream;
      const wantedCount = brokenAt === undefined ? window : 0;
      return {
        stream,
        wanted: { first: front + 1, last: Math.min(front + wantedCount, file.blockCount - 1) },
        jumpedBefore: reachOf(stream).first,
        ended,
      };
    },
    broke(stream, blockIndex) {
      const state = stateOf(stream);
      if (!state || blockIndex <= state.front) return;
      state.brokenAt = Math.min(blockIndex, state.brokenAt ?? blockIndex);
    },
    end(stream) {
      const state = stateOf(stream);
      if (state) streams.delete(state);
    },
  };
}

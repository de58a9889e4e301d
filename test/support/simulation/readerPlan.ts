/** What a simulated reader will do: which pieces of which file it reads, when, and where it loses patience. */
import type { Dice } from "../blocks.js";
import { integerIn, isDrawn, magnitudeIn, oneOf } from "./draw.js";
import { BLOCK_BYTES, BLOCKS_PER_FILE, FILE_COUNT } from "./library.js";

export interface PlannedRead {
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  /** Waited before it. */
  readonly thinkMs: number;
  /** After this the reader does not want it any more; undefined: it waits for the deadline. */
  readonly giveUpAfterMs: number | undefined;
}

export interface ReaderPlan {
  readonly startMs: number;
  readonly reads: readonly PlannedRead[];
  /** Reads at once. */
  readonly parallel: number;
  /** Blocks asked for ahead of each read. */
  readonly aheadBlocks: number;
  /** Whether a read makes what was asked for ahead urgent, instead of only joining its fetch. */
  readonly isPromoting: boolean;
}

const MAX_READ_BYTES = 2.5 * BLOCK_BYTES;

export function drawReader(dice: Dice): ReaderPlan {
  const file = dice.roll(FILE_COUNT);
  const isInOrder = isDrawn(dice, 60);
  const length = Math.floor(magnitudeIn(dice, BLOCK_BYTES / 4, MAX_READ_BYTES));
  const count = integerIn(dice, 3, 14);
  const thinkMs = oneOf(dice, [0, 0, 30, 400]);
  const giveUpPercent = oneOf(dice, [0, 0, 0, 10, 40]);
  // In a long pause rests end, and servers change.
  const pauseAt = isDrawn(dice, 25) ? dice.roll(count) : -1;
  const fileBytes = BLOCKS_PER_FILE * BLOCK_BYTES;
  const start = dice.roll(fileBytes);
  const reads = Array.from({ length: count }, (_, index): PlannedRead => ({
    file,
    offset: isInOrder ? (start + index * length) % fileBytes : dice.roll(fileBytes),
    length,
    thinkMs: index === pauseAt ? integerIn(dice, 5_000, 40_000) : thinkMs,
    giveUpAfterMs: isDrawn(dice, giveUpPercent) ? magnitudeIn(dice, 1, 5_000) : undefined,
  }));
  return {
    startMs: isDrawn(dice, 50) ? 0 : dice.roll(10_000),
    reads,
    parallel: oneOf(dice, [1, 1, 1, 2, 4]),
    aheadBlocks: isInOrder ? oneOf(dice, [0, 0, 1, 4]) : 0,
    isPromoting: isDrawn(dice, 50),
  };
}

/** Reads three files, one after the other, a block a read. */
export function wholeFiles(
  how: Pick<PlannedRead, "thinkMs"> & Pick<ReaderPlan, "parallel">,
): ReaderPlan {
  const reads = Array.from({ length: 3 * BLOCKS_PER_FILE }, (_, index) => ({
    file: Math.floor(index / BLOCKS_PER_FILE),
    offset: (index % BLOCKS_PER_FILE) * BLOCK_BYTES,
    length: BLOCK_BYTES,
    thinkMs: how.thinkMs,
    giveUpAfterMs: undefined,
  }));
  return { startMs: 0, reads, parallel: how.parallel, aheadBlocks: 0, isPromoting: false };
}

/** The most blocks that readers may want at one moment. */
export function wantedAtOnce(readers: readonly ReaderPlan[]): number {
  let count = 0;
  for (const { parallel, aheadBlocks } of readers) {
    count += parallel * (Math.ceil(MAX_READ_BYTES / BLOCK_BYTES) + 1 + aheadBlocks);
  }
  return count;
}

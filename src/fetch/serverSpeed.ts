/**
 * How fast one server has been lately: what a block is expected to take, and from when on it is late.
 * Pure: it is told what happened. Only the last requests count, and their median, so that one that was slow or
 * lucky does not matter.
 */
import type { LimitsOf } from "../core/limits.js";

/** How a request went, as far as it came. Times in ms since it began. */
export interface RequestTiming {
  readonly elapsedMs: number;
  /** Until the head of the answer; undefined: none came. */
  readonly firstByteMs: number | undefined;
  readonly receivedBytes: number;
}

export interface ServerSpeed {
  /** Until the head of an answer; undefined: never measured. */
  firstByteMs(): number | undefined;
  /** Of one request's body; undefined: never measured. */
  bytesPerSecond(): number | undefined;
  /** What a block of this length takes; undefined: it never gave a byte. */
  expectedMs(blockBytes: number): number | undefined;
  /** When a block of this length is late: nine of ten of the last ones took no longer. */
  lateAfterMs(blockBytes: number): number;
  noteWhole(timing: RequestTiming): void;
  /** A request that was cut off under way, of a block of this length: it counts as if it had gone on as it was. */
  noteCut(timing: RequestTiming, blockBytes: number): void;
}

/** What an earlier process measured. */
export interface KnownSpeed {
  readonly firstByteMs: number | undefined;
  readonly bytesPerSecond: number | undefined;
}

interface Sample {
  readonly firstByteMs: number;
  readonly bytes: number;
  readonly bodyMs: number;
}

/** The last requests that tell how fast the server is. */
const SAMPLE_COUNT = 7;
/** The last requests that the p90 is of, and how few say nothing yet. */
const RATIO_COUNT = 32;
const MIN_RATIO_COUNT = 8;
/** What came so many times faster than expected shows that what was known is out of date. */
const OUT_OF_DATE = 4;
/** What a clock cannot tell from nothing. */
const TICK_MS = 0.01;

export function createServerSpeed(
  { raceFirstMs, raceFloorMs }: Pick<LimitsOf<"fetch">, "raceFirstMs" | "raceFloorMs">,
  known?: KnownSpeed,
): ServerSpeed {
  const samples: Sample[] = [];
  /** Of the last requests: what each took, over what was expected of it. */
  const ratios: number[] = [];
  let p90Ratio: number | undefined;
  if (known?.firstByteMs !== undefined) {
    const { firstByteMs, bytesPerSecond: bytes = 0 } = known;
    samples.push({ firstByteMs, bytes, bodyMs: bytes > 0 ? 1000 : 0 });
  }

  let usual = usualOf(samples);

  const expectedMs = (blockBytes: number): number | undefined => {
    if (usual.firstByteMs === undefined || usual.msPerByte === undefined) return undefined;
    return usual.firstByteMs + blockBytes * usual.msPerByte;
  };

  const note = (sample: Sample): void => {
    const tookMs = sample.firstByteMs + sample.bodyMs;
    const expected = expectedMs(sample.bytes);
    if (expected !== undefined) {
      ratios.push(tookMs / Math.max(expected, TICK_MS));
      if (ratios.length > RATIO_COUNT) ratios.shift();
      p90Ratio = ratios.length < MIN_RATIO_COUNT ? undefined : p90Of(ratios);
      if (tookMs * OUT_OF_DATE < expected) samples.length = 0;
    }
    samples.push(sample);
    if (samples.length > SAMPLE_COUNT) samples.shift();
    usual = usualOf(samples);
  };

  return {
    firstByteMs: () => usual.firstByteMs,
    bytesPerSecond: () => (usual.msPerByte === undefined ? undefined : 1000 / usual.msPerByte),
    expectedMs,
    lateAfterMs(blockBytes) {
      const expected = expectedMs(blockBytes) ?? 0;
      if (p90Ratio === undefined) return Math.max(raceFirstMs, 1.5 * expected);
      return Math.max(raceFloorMs, p90Ratio * expected);
    },
    noteWhole({ elapsedMs, firstByteMs: headMs = elapsedMs, receivedBytes }) {
      note({ firstByteMs: headMs, bytes: receivedBytes, bodyMs: elapsedMs - headMs });
    },
    noteCut({ elapsedMs, firstByteMs: headMs, receivedBytes }, blockBytes) {
      if (headMs === undefined) {
        // Cut off sooner than an answer takes: nothing is known.
        if (elapsedMs > (usual.firstByteMs ?? 0))
          note({ firstByteMs: elapsedMs, bytes: 0, bodyMs: 0 });
        return;
      }
      const partMs = Math.max(elapsedMs - headMs, TICK_MS);
      const bodyMs = (partMs * blockBytes) / Math.max(receivedBytes, 1);
      note({ firstByteMs: headMs, bytes: blockBytes, bodyMs });
    },
  };
}

function usualOf(samples: readonly Sample[]): {
  readonly firstByteMs: number | undefined;
  readonly msPerByte: number | undefined;
} {
  const mostBytes = Math.max(0, ...samples.map(({ bytes }) => bytes));
  // A short body says more of the clock than of the line.
  const telling = samples.filter(({ bytes }) => bytes > 0 && bytes >= mostBytes / 4);
  return {
    firstByteMs: medianOf(samples.map(({ firstByteMs }) => firstByteMs)),
    msPerByte: medianOf(telling.map(({ bytes, bodyMs }) => Math.max(bodyMs, TICK_MS) / bytes)),
  };
}

function medianOf(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)];
}

function p90Of(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.ceil(values.length * 0.9) - 1];
}

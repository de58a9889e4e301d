/**
 * What may be spent on asking two servers for one block: a part of what was of use, and a little at the start.
 * Pure. Bytes count as spent when they came for nothing, because another server was faster.
 */
import type { LimitsOf } from "../core/limits.js";

export interface RaceBudget {
  canReserve(maxBytes: number): boolean;
  /**
   * Sets aside what a second request can cost at most.
   *
   * @returns to be called once with what it did cost; undefined: there is not enough
   */
  reserve(maxBytes: number): ((spentBytes: number) => void) | undefined;
  /** Bytes that came for nothing without having been set aside. */
  noteWasted(bytes: number): void;
  /** Bytes of a block that was given to its readers. */
  noteUseful(bytes: number): void;
}

export function createRaceBudget({
  raceExtraFraction,
  raceAllowanceBlocks,
}: Pick<LimitsOf<"fetch">, "raceExtraFraction" | "raceAllowanceBlocks">): RaceBudget {
  let usefulBytes = 0;
  let spentBytes = 0;
  let reservedBytes = 0;
  const canReserve = (maxBytes: number): boolean => {
    const allowedBytes = raceAllowanceBlocks * maxBytes + usefulBytes * raceExtraFraction;
    return spentBytes + reservedBytes + maxBytes <= allowedBytes;
  };
  return {
    canReserve,
    reserve(maxBytes) {
      if (!canReserve(maxBytes)) return undefined;
      reservedBytes += maxBytes;
      return (bytes) => {
        reservedBytes -= maxBytes;
        spentBytes += bytes;
      };
    },
    noteWasted(bytes) {
      spentBytes += bytes;
    },
    noteUseful(bytes) {
      usefulBytes += bytes;
    },
  };
}

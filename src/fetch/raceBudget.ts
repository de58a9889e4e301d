/**
 * What may be spent on asking two servers for one block: a part of what was of use, and a little at the start.
 * Pure. Bytes count as spent when they came for nothing, because another server was faster.
 */
import type { LimitsOf } from "../core/limits.js";

export interface RaceBudget {
  /** Whether there is so much to set aside; `blockBytes`: what the block is expected to have. */
  canReserve(bytes: number, blockBytes: number): boolean;
  /**
   * Sets aside what a second request can cost.
   *
   * @returns to be called once with what it did cost
   */
  reserve(bytes: number): (spentBytes: number) => void;
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
  return {
    canReserve(bytes, blockBytes) {
      const allowedBytes = raceAllowanceBlocks * blockBytes + usefulBytes * raceExtraFraction;
      return spentBytes + reservedBytes + bytes <= allowedBytes;
    },
    reserve(bytes) {
      reservedBytes += bytes;
      return (spent) => {
        reservedBytes -= bytes;
        spentBytes += spent;
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

/** Random numbers that a seed decides, and blocks made of them. Tests print the seed they used. */
import { createCipheriv, createHash } from "node:crypto";
import { blockOf, type VerifiedBlock } from "../../src/block/verify.js";

export interface Dice {
  /** An integer from 0 to `below` − 1. */
  roll(below: number): number;
}

/** @param seed any text or number; one seed always rolls the same */
export function createDice(seed: string | number): Dice {
  let state = createHash("sha256").update(String(seed)).digest().readUInt32LE(0);
  return {
    // mulberry32: small, and good enough to choose a fault.
    roll(below) {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
    },
  };
}

/** Bytes that the seed decides; they do not compress, and no two seeds share them. */
export function seededBytes(seed: string | number, sizeBytes: number): Buffer {
  const key = createHash("sha256").update(`bytes ${seed}`).digest().subarray(0, 16);
  return createCipheriv("aes-128-ctr", key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

/** A block that the seed decides. */
export function seededBlock(seed: string | number, sizeBytes = 4096): VerifiedBlock {
  return blockOf(seededBytes(seed, sizeBytes));
}

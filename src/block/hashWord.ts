/** 32 bits of a block's name, for tables: other ones in each process, so that nobody can make up names that share a place. */
import { randomInt } from "node:crypto";
import { HASH_BYTES } from "./hash.js";

const MIX_SEED = randomInt(1, 2 ** 31);

/** Lets every bit of a number change every other one: the last step of MurmurHash3. */
function mix(value: number): number {
  let mixed = value;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** @param start where the 32 raw bytes of the name begin @returns integer, 0..2^32 − 1 */
export function hashWord(bytes: Buffer, start: number): number {
  let mixed = MIX_SEED;
  for (let at = start; at < start + HASH_BYTES; at += 4) mixed = mix(mixed ^ bytes.readInt32LE(at));
  return mixed >>> 0;
}

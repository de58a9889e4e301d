/**
 * The hashes of a list as they come in: decoded into 32 bytes each, and hashed to the digest in the same pass.
 * It knows lines of 64 hex digits; what a line that is not one means is for the parser.
 */
import { createHash } from "node:crypto";
import { HASH_BYTES, HASH_HEX_LENGTH } from "../block/hash.js";

const NEWLINE = 0x0a;
const UPPER_CASE = 0x10;
const NOT_HEX = 0x80;

/** A digit's value by its byte; with UPPER_CASE set for A–F, and NOT_HEX for everything else. */
const DIGIT = new Uint8Array(256).fill(NOT_HEX);
for (let value = 0; value < 16; value += 1) {
  const text = value.toString(16);
  DIGIT[text.charCodeAt(0)] = value;
  if (value > 9) DIGIT[text.toUpperCase().charCodeAt(0)] = value | UPPER_CASE;
}

export function isHexDigit(byte: number): boolean {
  return (DIGIT[byte] ?? NOT_HEX) !== NOT_HEX;
}

/** Bytes of a line as it is written canonically. */
export const LINE_BYTES = HASH_HEX_LENGTH + 1;

export class HexLines {
  #hashes: Buffer;
  #count = 0;
  readonly #digest = createHash("sha256");

  /** @param expectedCount how many are likely to come; only a wrong guess costs a copy */
  constructor(expectedCount: number) {
    this.#hashes = Buffer.allocUnsafeSlow(Math.max(1, expectedCount) * HASH_BYTES);
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Takes whole canonical-looking lines from the front of a chunk.
   *
   * @returns where the first byte stands that it did not take; it begins a line
   */
  takeLines(chunk: Uint8Array, from: number, maxCount: number): number {
    let at = from;
    let runStart = from;
    while (this.#count < maxCount && chunk[at + HASH_HEX_LENGTH] === NEWLINE) {
      const seen = this.#decode(chunk, at);
      if ((seen & NOT_HEX) !== 0) break;
      this.#count += 1;
      if ((seen & UPPER_CASE) !== 0) {
        this.#digest.update(chunk.subarray(runStart, at));
        this.#digestLast();
        runStart = at + LINE_BYTES;
      }
      at += LINE_BYTES;
    }
    this.#digest.update(chunk.subarray(runStart, at));
    return at;
  }

  /**
   * Takes one line without its end.
   *
   * @returns false where it is not 64 hex digits; then nothing was taken
   */
  takeLine(line: Uint8Array): boolean {
    if (line.length !== HASH_HEX_LENGTH) return false;
    if ((this.#decode(line, 0) & NOT_HEX) !== 0) return false;
    this.#count += 1;
    this.#digestLast();
    return true;
  }

  /** @returns the hashes, cut to what came, and their digest; the object is of no use afterwards */
  finish(): { readonly hashes: Buffer; readonly digest: string } {
    const usedBytes = this.#count * HASH_BYTES;
    // A long list must not hold twice what it needs; a short one is not worth the copy.
    const hashes =
      this.#hashes.length > usedBytes
        ? Buffer.from(new Uint8Array(this.#hashes.subarray(0, usedBytes)).buffer)
        : this.#hashes;
    return { hashes, digest: this.#digest.digest("hex") };
  }

  #digestLast(): void {
    const start = (this.#count - 1) * HASH_BYTES;
    this.#digest.update(`${this.#hashes.toString("hex", start, start + HASH_BYTES)}\n`);
  }

  #decode(source: Uint8Array, at: number): number {
    const start = this.#count * HASH_BYTES;
    if (start + HASH_BYTES > this.#hashes.length) {
      const larger = Buffer.allocUnsafeSlow(this.#hashes.length * 2);
      this.#hashes.copy(larger);
      this.#hashes = larger;
    }
    const hashes = this.#hashes;
    let seen = 0;
    for (let index = 0; index < HASH_BYTES; index += 1) {
      const high = DIGIT[source[at + 2 * index] ?? 0] ?? NOT_HEX;
      const low = DIGIT[source[at + 2 * index + 1] ?? 0] ?? NOT_HEX;
      seen |= high | low;
      hashes[start + index] = ((high & 15) << 4) | (low & 15);
    }
    return seen;
  }
}

/** The trailer: the `key: value` lines after a list's first empty line. Unknown keys are kept. */
import { LIMITS } from "../core/limits.js";
import { sizeFits } from "./geometry.js";
import type { TrailerLine } from "./hashlist.js";

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Trailer {
  readonly blockSizeBytes: number;
  readonly sizeBytes: number | undefined;
  readonly extraTrailer: readonly TrailerLine[];
}

export const SIZE_KEY = "size";
export const BLOCK_SIZE_KEY = "block-size";

interface KnownNumber {
  readonly value: number;
  readonly at: Position;
}

export class TrailerReader {
  readonly #refuse: (at: Position, problem: string) => never;
  readonly #known = new Map<string, KnownNumber>();
  readonly #extra: TrailerLine[] = [];
  #seenBytes = 0;

  constructor(refuse: (at: Position, problem: string) => never) {
    this.#refuse = refuse;
  }

  /** Refuses a trailer that is longer than any can be, also while its line is still coming in. */
  checkLength(line: Uint8Array, lineNumber: number): void {
    if (this.#seenBytes + line.length > LIMITS.hashlist.maxTrailerBytes) {
      const at = { line: lineNumber, column: 1 };
      this.#refuse(at, `a trailer of more than ${LIMITS.hashlist.maxTrailerBytes} bytes`);
    }
  }

  /** Takes one line without its end. Empty lines mean nothing. */
  takeLine(line: Uint8Array, lineNumber: number): void {
    this.checkLength(line, lineNumber);
    this.#seenBytes += line.length + 1;
    if (line.length === 0) return;
    const text = Buffer.from(line).toString("utf8");
    const match = /^([a-z][a-z0-9-]*): (.*)$/.exec(text);
    const key = match?.[1];
    const value = match?.[2];
    if (key === undefined || value === undefined || /[\0\ufffd]/.test(value)) {
      this.#refuse({ line: lineNumber, column: 1 }, "not a trailer line of the form `key: value`");
    }
    if (key === SIZE_KEY || key === BLOCK_SIZE_KEY) {
      this.#takeNumber(key, value, lineNumber);
    } else {
      this.#extra.push({ key, value });
    }
  }

  /** Checks what was said against the number of hashes before it. */
  finish(blockCount: number): Trailer {
    const blockSize = this.#known.get(BLOCK_SIZE_KEY);
    const size = this.#known.get(SIZE_KEY);
    const blockSizeBytes = blockSize?.value ?? LIMITS.block.defaultSizeBytes;
    if (blockSize && (blockSizeBytes < 1 || blockSizeBytes > LIMITS.block.maxSizeBytes)) {
      this.#refuse(
        blockSize.at,
        `a block size of ${blockSizeBytes}; it must be 1 to ${LIMITS.block.maxSizeBytes}`,
      );
    }
    if (size && !sizeFits(size.value, blockSizeBytes, blockCount)) {
      this.#refuse(
        size.at,
        `a size of ${size.value} contradicts the list: it has ${blockCount} blocks of ${blockSizeBytes}`,
      );
    }
    return { blockSizeBytes, sizeBytes: size?.value, extraTrailer: this.#extra };
  }

  #takeNumber(key: string, text: string, lineNumber: number): void {
    const at = { line: lineNumber, column: key.length + 3 };
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) this.#refuse(at, `${key} is not a whole number of bytes`);
    if (this.#known.has(key)) this.#refuse({ line: lineNumber, column: 1 }, `a second ${key}`);
    this.#known.set(key, { value, at });
  }
}

/**
 * Text → hashlist. Reads leniently (CRLF, upper case, no last newline) and refuses anything else,
 * with file, line and column. Its memory is bounded by the hashes it accepted, whatever comes in.
 */
import { HASH_HEX_LENGTH } from "../block/hash.js";
import { PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import { createHashlist, type Hashlist } from "./hashlist.js";
import { HexLines, isHexDigit, LINE_BYTES } from "./hexLines.js";
import { TrailerReader } from "./trailer.js";

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export interface ParseOptions {
  /** Stands before line and column in errors: a path, or `stdin`. */
  readonly name: string;
  /** Bytes that are likely to come, where known. */
  readonly sizeHintBytes?: number;
  readonly maxBlockCount?: number;
}

/**
 * Reads a hashlist from its text as it comes in.
 *
 * @throws ERR_PSYNC_BAD_HASHLIST with name, line and column of the first thing that is wrong
 * Cost: one pass; 32 bytes of memory a block. Source: docs/hashlist-format.md.
 */
export async function parseHashlist(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: ParseOptions,
): Promise<Hashlist> {
  const parser = new HashlistParser(options);
  for await (const chunk of chunks) parser.push(chunk);
  return parser.finish();
}

class HashlistParser {
  readonly #name: string;
  readonly #maxBlockCount: number;
  readonly #lines: HexLines;
  readonly #trailer = new TrailerReader((at, problem) => this.#refuse(at, problem));
  /** A line that the last chunk broke off. */
  #pending: Uint8Array = new Uint8Array(0);
  #line = 1;
  #inTrailer = false;

  constructor(options: ParseOptions) {
    this.#name = options.name;
    this.#maxBlockCount = options.maxBlockCount ?? LIMITS.hashlist.maxBlockCount;
    const likely = Math.ceil((options.sizeHintBytes ?? 0) / LINE_BYTES);
    this.#lines = new HexLines(Math.min(likely, this.#maxBlockCount) || 16);
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (!this.#inTrailer && this.#pending.length === 0) {
        const countBefore = this.#lines.count;
        at = this.#lines.takeLines(chunk, at, this.#maxBlockCount);
        this.#line += this.#lines.count - countBefore;
      }
      const end = chunk.indexOf(NEWLINE, at);
      const rest = chunk.subarray(at, end < 0 ? chunk.length : end);
      const line = this.#pending.length === 0 ? rest : Buffer.concat([this.#pending, rest]);
      if (end < 0) {
        this.#checkLength(line);
        this.#pending = new Uint8Array(line);
        return;
      }
      this.#pending = new Uint8Array(0);
      this.#takeLine(line);
      this.#line += 1;
      at = end + 1;
    }
  }

  finish(): Hashlist {
    if (this.#pending.length > 0) this.#takeLine(this.#pending);
    const blockCount = this.#lines.count;
    const trailer = this.#trailer.finish(blockCount);
    return createHashlist({ ...this.#lines.finish(), ...trailer });
  }

  #takeLine(raw: Uint8Array): void {
    const line = raw.at(-1) === CARRIAGE_RETURN ? raw.subarray(0, -1) : raw;
    if (this.#inTrailer) {
      this.#trailer.takeLine(line, this.#line);
    } else if (line.length === 0) {
      this.#inTrailer = true;
    } else {
      if (this.#lines.count >= this.#maxBlockCount) {
        this.#refuse({ line: this.#line, column: 1 }, `more than ${this.#maxBlockCount} blocks`);
      }
      if (!this.#lines.takeLine(line)) this.#explain(line);
    }
  }

  /** Refuses a line as soon as it is longer than any line can be: junk must not fill the memory. */
  #checkLength(line: Uint8Array): void {
    if (this.#inTrailer) {
      this.#trailer.checkLength(line, this.#line);
    } else if (line.length > HASH_HEX_LENGTH + 1) {
      this.#explain(line);
    }
  }

  #explain(line: Uint8Array): never {
    const wrong = line.findIndex((byte) => !isHexDigit(byte));
    const at = (column: number) => ({ line: this.#line, column });
    if (this.#line === 1 && line[0] === 0xef && line[1] === 0xbb && line[2] === 0xbf) {
      this.#refuse(at(1), "a byte order mark; save the list without it");
    }
    if (wrong >= 0 && wrong < HASH_HEX_LENGTH) {
      this.#refuse(at(wrong + 1), `${describeByte(line[wrong] ?? 0)} where a hex digit belongs`);
    }
    if (line.length < HASH_HEX_LENGTH) {
      this.#refuse(at(line.length + 1), `a hash of ${line.length} hex digits; it must have 64`);
    }
    this.#refuse(at(HASH_HEX_LENGTH + 1), "more after the 64 hex digits of the hash");
  }

  #refuse(at: { readonly line: number; readonly column: number }, problem: string): never {
    throw new PsyncError(
      "ERR_PSYNC_BAD_HASHLIST",
      `${this.#name}:${at.line}:${at.column}: ${problem}`,
      { hint: "a hashlist has 64 hex digits a line, and after an empty line `key: value` lines" },
    );
  }
}

function describeByte(byte: number): string {
  if (byte === 0) return "a NUL byte";
  if (byte === 0x20) return "a space";
  if (byte === 0x09) return "a tab";
  if (byte > 0x20 && byte < 0x7f) return `\`${String.fromCharCode(byte)}\``;
  return `the byte 0x${byte.toString(16).padStart(2, "0")}`;
}

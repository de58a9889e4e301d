/** The name of a block: its SHA-256 as 64 lower-case hex digits, and nothing else. */

/** 64 lower-case hex digits. Made only by `parseBlockHash` and `hashOf`. */
export type BlockHash = string & { readonly __brand: "BlockHash" };

export const HASH_HEX_LENGTH = 64;
export const HASH_BYTES = 32;

const PATTERN = /^[0-9a-f]{64}$/;

/** The hash a text writes, in either case, or undefined where it is not 64 hex digits. */
export function parseBlockHash(text: string): BlockHash | undefined {
  const lower = text.toLowerCase();
  return PATTERN.test(lower) ? (lower as BlockHash) : undefined;
}

/** The hash in 32 raw bytes of `source`, from `offset`. */
export function blockHashFromBytes(source: Buffer, offset: number): BlockHash {
  return source.toString("hex", offset, offset + HASH_BYTES) as BlockHash;
}

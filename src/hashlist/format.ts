/** Hashlist → text, in the one form that psync writes. */
import type { BlockHash } from "../block/hash.js";
import { BLOCK_SIZE_KEY, SIZE_KEY } from "./trailer.js";
import type { Hashlist } from "./hashlist.js";

/** What a list's file is named after the file it lists. */
export const HASHLIST_SUFFIX = ".hashlist";

export function formatHashLine(hash: BlockHash): string {
  return `${hash}\n`;
}

/** The empty line and what stands after it. */
export function formatTrailer(trailer: {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
}): string {
  return `\n${SIZE_KEY}: ${trailer.sizeBytes}\n${BLOCK_SIZE_KEY}: ${trailer.blockSizeBytes}\n`;
}

/** A whole list as text; with the trailer where the size is known, unknown trailer lines after the known ones. */
export function formatHashlist(list: Hashlist): string {
  const lines: string[] = [];
  for (let index = 0; index < list.blockCount; index += 1) {
    lines.push(formatHashLine(list.hashAt(index)));
  }
  if (list.sizeBytes !== undefined) {
    lines.push(formatTrailer({ sizeBytes: list.sizeBytes, blockSizeBytes: list.blockSizeBytes }));
    for (const { key, value } of list.extraTrailer) lines.push(`${key}: ${value}\n`);
  }
  return lines.join("");
}

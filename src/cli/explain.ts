/** `get --explain`: for each block that was fetched, which servers were asked and what each did, in the log. */
import type { BlockHash } from "../block/hash.js";
import type { Logger } from "../core/log.js";
import type { ListedBlock } from "../transfer/getBlocks.js";

export interface Explainer {
  /** A block is about to be fetched. */
  readonly onFetch: (block: ListedBlock) => void;
  /** Its fetch has ended. @param lines what each server did */
  readonly explain: (hash: BlockHash, lines: readonly string[]) => void;
}

const SHOWN_HASH_DIGITS = 12;

/** Remembers where blocks stand only while they are fetched: lists may have millions of them. */
export function createExplainer(log: Logger): Explainer {
  /** By hash, since that is all the servers know; a block of two lists can be under way twice. */
  const underWay = new Map<BlockHash, ListedBlock[]>();
  return {
    onFetch(block) {
      underWay.set(block.hash, [...(underWay.get(block.hash) ?? []), block]);
    },
    explain(hash, lines) {
      const [block, ...rest] = underWay.get(hash) ?? [];
      if (rest.length > 0) underWay.set(hash, rest);
      else underWay.delete(hash);
      const place = block ? `${block.blockIndex + 1} of ${block.listName} ` : "";
      log.info(`block ${place}(${hash.slice(0, SHOWN_HASH_DIGITS)}…): ${lines.join("; ")}`);
    },
  };
}

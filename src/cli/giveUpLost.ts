/** What `gc` and `unpin` do about kept blocks that were lost: nobody needs to look for those any more. */
import type { BlockHash } from "../block/hash.js";
import { formatCount } from "../core/bytes.js";
import type { Upkeep } from "../compose.js";
import type { Logger } from "../core/log.js";

/** @throws ERR_PSYNC_STORE quarantine/ cannot be read */
export async function giveUpLost(
  upkeep: Upkeep,
  isUnneeded: (hash: BlockHash) => boolean,
  log: Logger,
): Promise<void> {
  const unneeded = new Set((await upkeep.lostBlocks()).map(({ hash }) => hash).filter(isUnneeded));
  if (unneeded.size === 0) return;
  await upkeep.giveUpLost(unneeded);
  log.info(`${formatCount(unneeded.size, "block")} that had been lost will not be asked for again`);
}

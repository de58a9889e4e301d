/**
 * A source without servers, beside which seeds are hashed: what it lacks may lie in one of them, and is waited for as
 * long as that goes on. A block that comes to be known is read by the source itself, from where it lies.
 */
import type { BlockRequest, BlockSource, BlockStore } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { pause } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { isBlockMissing } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";

export interface AwaitSeedsParts {
  readonly store: Pick<BlockStore, "find">;
  /** Whether blocks may yet come to be known. */
  readonly isHashing: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Who waits holds nothing of the source. Cost: a look into the store each `LIMITS.seeds.lookAgainMs` a block. */
export function awaitSeeds(
  source: BlockSource,
  { store, isHashing, clock, log }: AwaitSeedsParts,
): BlockSource {
  let isTold = false;
  const fetchWhenKnown = async (request: BlockRequest, missing: Error): Promise<VerifiedBlock> => {
    for (;;) {
      // Asked before the look: what was hashed last is seen by it.
      const wasHashing = isHashing();
      // A store that fails is one that lacks the block.
      if (await store.find(request.hash).catch(() => undefined)) return source.fetch(request);
      if (!wasHashing) throw missing;
      if (!isTold) log.info("seeds are being hashed: reads of what is not found yet wait for that");
      isTold = true;
      await pause(clock, LIMITS.seeds.lookAgainMs, request.signal);
    }
  };
  return {
    fetch: (request) =>
      source.fetch(request).catch((error: unknown) => {
        if (!isBlockMissing(error)) throw error;
        return fetchWhenKnown(request, error);
      }),
  };
}

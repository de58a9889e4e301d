/** What was asked of a store's seeds while it could not use any, to be asked again of the one in its place. */
import { LIMITS } from "../core/limits.js";
import type { StoreSeeds } from "./storeSeeds.js";

/** @param seeds of the store that cannot use them; asked too @param later told what was asked meanwhile */
export function withWishes(seeds: StoreSeeds): StoreSeeds & {
  readonly later: (seeds: StoreSeeds) => Promise<void>;
} {
  const paths = new Set<string>();
  const excluded = new Set<string>();
  const blockSizes = new Set<number>();
  let hashesBehind = false;
  return {
    use(named) {
      for (const path of named) paths.add(path);
      return seeds.use(named);
    },
    exclude(path) {
      excluded.add(path);
    },
    lookFor(blockSizeBytes) {
      const { minBlockSizeBytes, maxBlockSizes } = LIMITS.seeds;
      const isWanted = blockSizeBytes >= minBlockSizeBytes && blockSizes.size < maxBlockSizes;
      if (isWanted) blockSizes.add(blockSizeBytes);
    },
    hashBehind() {
      hashesBehind = true;
    },
    hash: (options) => seeds.hash(options),
    isHashing: () => seeds.isHashing(),
    lost: () => seeds.lost(),
    begin: (file) => seeds.begin(file),
    async later(others) {
      for (const path of excluded) others.exclude(path);
      for (const sizeBytes of blockSizes) others.lookFor(sizeBytes);
      await others.use([...paths]);
      if (hashesBehind) others.hashBehind();
    },
  };
}

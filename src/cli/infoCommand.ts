/** `psync info`: what lists say, and how much of each is in the store. */
import { formatSize } from "../core/bytes.js";
import { readInputLists } from "./inputLists.js";
import { formatTable, lostSeedLine, writeJson, writeOut } from "./output.js";
import { defineCommand } from "./run.js";
import type { ListInfo } from "../transfer/listInfo.js";
import type { LostSeed } from "../compose.js";

type NamedInfo = ListInfo & {
  readonly list: string;
  /** Files of the store's seeds that lack blocks, where this list lacks some. */
  readonly lostSeeds: readonly LostSeed[];
};

export const infoCommand = defineCommand({
  command: "info <list..>",
  describe: "Show what lists say, and how much of them is in the store",
  builder: (args) =>
    args
      .positional("list", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "hashlist files; - is stdin",
      })
      .option("json", { type: "boolean", describe: "as JSON" })
      .example(
        "psync info lists/disk.iso.hashlist",
        "size, blocks, digest, what is kept and missing",
      ),
  run: async (args, { settings, log, signal }) => {
    const lists = await readInputLists(args.list, { log, signal });
    const { openLocalStore } = await import("../compose.js");
    const { listInfo } = await import("../transfer/listInfo.js");
    const store = await openLocalStore({ storePath: settings.storePath, log }, "read");
    try {
      const infos: NamedInfo[] = [];
      let lost: readonly LostSeed[] | undefined;
      for (const { name, list } of lists) {
        const info = await listInfo(list, { store: store.blocks, sizes: store.sizes });
        // Which file had a block that is missing, nobody knows any more: it may be any of those that are lost.
        if (info.missingCount > 0) lost ??= await store.seeds.lost();
        infos.push({ list: name, ...info, lostSeeds: info.missingCount > 0 ? (lost ?? []) : [] });
      }
      if (args.json === true) await writeJson(infos);
      else await writeOut(infos.map(describe).join("\n"));
    } finally {
      await store.close();
    }
  },
});

const SHOWN_SEEDS = 20;

/** Of what is missing: of the store's lost files, any may have been it, and none need. */
const PERHAPS_IN = "missing, perhaps";

function describe(info: NamedInfo): string {
  const { sizeBytes, blockCount, distinctBlockCount, lostSeeds } = info;
  const size =
    sizeBytes === null
      ? `not known yet: at most ${formatSize(blockCount * info.blockSizeBytes)}`
      : `${formatSize(sizeBytes)} (${sizeBytes} bytes)`;
  const distinct = distinctBlockCount === blockCount ? "" : `, ${distinctBlockCount} distinct`;
  return formatTable([
    ["list", info.list],
    ["size", size],
    ["blocks", `${blockCount}${distinct}`],
    ["block size", formatSize(info.blockSizeBytes)],
    ["digest", info.digest],
    ["kept", `${info.keptCount}`],
    ["cached", `${info.cachedCount}`],
    ["in seeds", `${info.seedCount}`],
    ["missing", `${info.missingCount}`],
    ...lostSeeds.slice(0, SHOWN_SEEDS).map((seed) => [PERHAPS_IN, lostSeedLine(seed)]),
    ...(lostSeeds.length > SHOWN_SEEDS
      ? [[PERHAPS_IN, `and ${lostSeeds.length - SHOWN_SEEDS} more`]]
      : []),
  ]);
}

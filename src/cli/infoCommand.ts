/** `psync info`: what lists say, and how much of each is in the store. */
import { formatSize } from "../core/bytes.js";
import { readInputLists } from "./inputLists.js";
import { formatTable, writeJson, writeOut } from "./output.js";
import { defineCommand } from "./run.js";
import type { ListInfo } from "../transfer/listInfo.js";

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
      const infos: (ListInfo & { readonly list: string })[] = [];
      for (const { name, list } of lists) {
        const info = await listInfo(list, { store: store.blocks, sizes: store.sizes });
        infos.push({ list: name, ...info });
      }
      if (args.json === true) await writeJson(infos);
      else await writeOut(infos.map(describe).join("\n"));
    } finally {
      await store.close();
    }
  },
});

function describe(info: ListInfo & { readonly list: string }): string {
  const { sizeBytes, blockCount, distinctBlockCount } = info;
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
    ["missing", `${info.missingCount}`],
  ]);
}

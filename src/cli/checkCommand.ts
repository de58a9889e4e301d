/** `psync check --offline`: whether every byte of lists can be read with no network, and what is missing. */
import { formatCount, formatSize } from "../core/bytes.js";
import { PsyncError } from "../core/errors.js";
import { findLists, type FoundList } from "../hashlist/findLists.js";
import { HASHLIST_SUFFIX } from "../hashlist/format.js";
import type { LostSeed } from "../compose.js";
import type { ListCheck } from "../transfer/checkLists.js";
import { hashSeeds } from "./hashSeeds.js";
import { lostSeedLine, writeJson } from "./output.js";
import { createProgress } from "./progress.js";
import { defineCommand, listsOption } from "./run.js";

export const checkCommand = defineCommand({
  command: "check <list..>",
  describe: "Say whether every byte of lists can be read with no network",
  builder: (args) =>
    args
      .positional("list", { ...listsOption, demandOption: true })
      .option("offline", {
        type: "boolean",
        describe: "look into the store alone, and ask no server; the only way there is yet",
      })
      .option("quick", {
        type: "boolean",
        describe: "look at names and lengths, and read no block: damage is not seen",
      })
      .option("json", { type: "boolean", describe: "as JSON" })
      .example("psync check --offline lists/ && echo ready to leave", "before a journey"),
  run: async (args, { settings, log, signal }) => {
    if (args.offline !== true) {
      throw new PsyncError("ERR_PSYNC_USAGE", "psync check asks no server yet", {
        hint: "say --offline, which looks into the store alone",
      });
    }
    const { openLocalStore } = await import("../compose.js");
    const { createListChecker } = await import("../transfer/checkLists.js");
    // All of them first: a bad list is told before an hour of reading, and the bar knows its end.
    const lists: FoundList[] = [];
    for await (const found of findLists(args.list, { signal })) lists.push(found);
    const seeds = await settings.seeds();
    const store = await openLocalStore({ storePath: settings.storePath, log }, "judge");
    const quiet = args.quiet === true;
    const total = lists.reduce((sum, { list }) => sum + list.blockCount, 0);
    const progress = createProgress({ label: "check", total, quiet });
    let doneCount = 0;
    let doneBytes = 0;
    const checker = createListChecker({
      store: store.blocks,
      judge: (place, hash) => store.upkeep.judge(place, hash),
      quick: args.quick === true,
      signal,
      onBlock: (sizeBytes) => {
        doneCount += 1;
        doneBytes += sizeBytes;
        progress.update(doneCount, doneBytes);
      },
    });
    try {
      for (const { list } of lists) store.seeds.lookFor(list.blockSizeBytes);
      await store.seeds.use(seeds);
      await hashSeeds(store.seeds, { signal, quiet, listed: true });
      const checks: NamedCheck[] = [];
      for (const { path, list } of lists) {
        checks.push({ list: path, file: fileOf(path), ...(await checker.check(list)) });
      }
      progress.end();
      const failed = checks.filter((check) => check.missingCount + check.damagedCount > 0);
      // Which file had a block that is missing, nobody knows any more: it may be any of those that are lost.
      const lostSeeds = failed.some(({ missingCount }) => missingCount > 0)
        ? await store.seeds.lost()
        : [];
      if (args.json === true) {
        await writeJson({ ok: failed.length === 0, lists: checks, lostSeeds });
      }
      if (failed.length > 0) throw incomplete(checks.length, failed, lostSeeds);
      log.info(`${formatCount(checks.length, "list")}, ${formatCount(total, "block")}: all here`);
    } finally {
      progress.end();
      await store.close();
    }
  },
});

interface NamedCheck extends ListCheck {
  readonly list: string;
  readonly file: string;
}

/** The file that a list stands for, as a mount names it. */
function fileOf(listPath: string): string {
  const name = listPath.slice(listPath.lastIndexOf("/") + 1);
  return name.endsWith(HASHLIST_SUFFIX) ? name.slice(0, -HASHLIST_SUFFIX.length) : name;
}

const SHOWN_LISTS = 50;
const SHOWN_BLOCKS = 3;
const SHOWN_SEEDS = 20;

/** Damage is the worse of the two: what is missing can be fetched, and nobody is misled by it. */
function incomplete(
  listCount: number,
  failed: readonly NamedCheck[],
  lostSeeds: readonly LostSeed[],
): PsyncError {
  const isDamaged = failed.some(({ damagedCount }) => damagedCount > 0);
  const details: string[] = [];
  for (const check of failed.slice(0, SHOWN_LISTS)) {
    const { list, blockCount, missingCount, damagedCount } = check;
    const parts: string[] = [];
    if (missingCount > 0) parts.push(`${missingCount} missing (${formatSize(check.missingBytes)})`);
    if (damagedCount > 0) parts.push(`${damagedCount} damaged (${formatSize(check.damagedBytes)})`);
    details.push(`${list}: of ${formatCount(blockCount, "block")} ${parts.join(", ")}`);
    for (const { blockIndex, hash, state } of check.blocks.slice(0, SHOWN_BLOCKS)) {
      details.push(`    block ${blockIndex + 1} is ${state}: ${hash}`);
    }
    const unshown = missingCount + damagedCount - SHOWN_BLOCKS;
    if (unshown > 0) details.push(`    and ${unshown} more`);
  }
  const unshownLists = failed.length - SHOWN_LISTS;
  if (unshownLists > 0) details.push(`and ${formatCount(unshownLists, "more list")}`);
  details.push(...lostSeeds.slice(0, SHOWN_SEEDS).map(lostSeedLine));
  if (lostSeeds.length > SHOWN_SEEDS) {
    const unshown = formatCount(lostSeeds.length - SHOWN_SEEDS, "more file");
    details.push(`and ${unshown} exported without a copy`);
  }
  const fetched = "`psync pin LIST --server URL` fetches what a server has";
  const hint =
    lostSeeds.length === 0
      ? fetched
      : `of a file that was exported without a copy psync has none: put it back as it was; ${fetched}`;
  return new PsyncError(
    isDamaged ? "ERR_PSYNC_CORRUPT" : "ERR_PSYNC_BLOCK_UNAVAILABLE",
    `${failed.length} of ${formatCount(listCount, "list")} cannot be read whole without a network`,
    { details, hint },
  );
}

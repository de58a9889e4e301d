/** `psync gc`: removes kept blocks that no list names. */
import { formatCount, formatSize } from "../core/bytes.js";
import { PsyncError } from "../core/errors.js";
import { findLists } from "../hashlist/findLists.js";
import type { SweepTotals } from "../block/ports.js";
import type { NamedBlocks, Unneeded } from "../transfer/keptBlocks.js";
import { canAsk, confirm } from "./confirm.js";
import { warningOfEmpty } from "./emptyLists.js";
import { writeJson } from "./output.js";
import { giveUpLost } from "./giveUpLost.js";
import { createProgress } from "./progress.js";
import { defineCommand, listsOption, type CommandContext } from "./run.js";

export const gcCommand = defineCommand({
  command: "gc",
  describe: "Remove kept blocks that no list names",
  builder: (args) =>
    args
      .option("keep", {
        ...listsOption,
        requiresArg: true,
        demandOption: "say which lists are needed: psync gc --keep LISTS",
        describe: "hashlist files, and folders with all lists in them: their blocks stay",
      })
      .option("dry-run", { type: "boolean", describe: "say what would go, and change nothing" })
      .option("yes", { alias: "y", type: "boolean", describe: "do not ask" })
      .option("json", { type: "boolean", describe: "say what was done as JSON, on stdout" })
      .example("psync gc --keep lists/ --dry-run", "how much would be freed")
      .example("psync gc --keep lists/ /srv/other-lists --yes", "from a script"),
  run: (args, context) => collectGarbage(args, context),
});

interface GcArguments {
  readonly keep: readonly string[];
  readonly dryRun: boolean | undefined;
  readonly yes: boolean | undefined;
  readonly json: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

async function collectGarbage(args: GcArguments, context: CommandContext): Promise<void> {
  const { settings, log, signal } = context;
  const { dryRun = false, yes = false, json = false } = args;
  if (args.keep.length === 0) throw usage("no list is named whose blocks are needed");
  if (!dryRun && !yes && !canAsk()) {
    throw usage("there is no terminal to ask at whether to remove blocks");
  }
  const { openLocalStore } = await import("../compose.js");
  const { findUnneeded, namedBlocks } = await import("../transfer/keptBlocks.js");
  const store = await openLocalStore(
    { storePath: settings.storePath, log },
    dryRun ? "look" : "change",
  );
  try {
    // Before the lists are read: what is claimed after this stays, whether its list was seen or not.
    const sweep = dryRun ? undefined : await store.startSweep();
    try {
      const needed = warningOfEmpty(findLists(args.keep, { signal }), log);
      const named = await namedBlocks(needed);
      const claimed = store.claimed();
      const garbage = await findUnneeded(store.list("kept"), {
        store: store.blocks,
        named: named.hashes,
        claimed,
        signal,
      });
      log.info(describe(named, garbage));
      let done: SweepTotals | undefined;
      if (sweep && garbage.hashes.size > 0) {
        const question = `remove ${formatCount(garbage.hashes.size, "block")}?`;
        if (!yes && !(await confirm(question, signal))) throw refused();
        const total = garbage.hashes.size;
        const progress = createProgress({ label: "gc", total, quiet: args.quiet === true });
        done = await sweep
          .take(garbage.hashes, "nowhere", {
            signal,
            onProgress: (totals) => {
              progress.update(totals.takenCount + totals.claimedCount, totals.takenBytes);
            },
          })
          .finally(() => {
            progress.end();
          });
      }
      if (!dryRun) {
        await giveUpLost(
          store.upkeep,
          (hash) => !named.hashes.has(hash) && !claimed.has(hash),
          log,
        );
      }
      const removed = { count: done?.takenCount ?? 0, sizeBytes: done?.takenBytes ?? 0 };
      if (!dryRun) {
        log.info(
          `removed ${formatCount(removed.count, "block")}, ${formatSize(removed.sizeBytes)} freed`,
        );
      }
      if (json) {
        await writeJson({
          dryRun,
          listCount: named.listCount,
          neededCount: garbage.namedCount,
          claimedCount: garbage.claimedCount + (done?.claimedCount ?? 0),
          unneededCount: garbage.hashes.size,
          unneededBytes: garbage.sizeBytes,
          removedCount: removed.count,
          removedBytes: removed.sizeBytes,
        });
      }
    } finally {
      sweep?.close();
    }
  } finally {
    await store.close();
  }
}

function describe({ listCount }: NamedBlocks, garbage: Unneeded): string {
  const { hashes, sizeBytes, namedCount, claimedCount } = garbage;
  const claimed = claimedCount === 0 ? "" : `, ${claimedCount} in use by running commands`;
  return (
    `${formatCount(listCount, "list")} with ${namedCount} of the kept blocks${claimed}; ` +
    `${hashes.size} can go, ${formatSize(sizeBytes)}`
  );
}

function refused(): PsyncError {
  return new PsyncError("ERR_PSYNC_FAILED", "nothing was removed");
}

function usage(problem: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", problem, {
    hint: "psync gc --keep LISTS --dry-run says what would go; --yes does not ask",
  });
}

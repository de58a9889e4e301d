/** `psync fsck`: every block of the store read and checked, and repaired where it is asked to. */
import { LIMITS } from "../core/limits.js";
import { PsyncError } from "../core/errors.js";
import { findLists } from "../hashlist/findLists.js";
import type { FsckReport } from "../compose.js";
import { fsckJson, fsckText, unrepairedError, unrepairedHashes } from "./fsckReport.js";
import { sayingWhatIsKept } from "./fullDisk.js";
import { writeJson, writeOut } from "./output.js";
import { createProgress, type Progress } from "./progress.js";
import { defineCommand, listsOption, serverOption, type CommandContext } from "./run.js";

export const fsckCommand = defineCommand({
  command: "fsck",
  describe: "Read and check every block of the store",
  builder: (args) =>
    args
      .option("repair", {
        type: "boolean",
        describe: "set bad blocks aside, fetch them again, and make the index right",
      })
      .option("server", {
        ...serverOption,
        describe: "with --repair: a server to fetch from, repeatable [PSYNC_SERVERS, config.json]",
      })
      .option("lists", {
        ...listsOption,
        requiresArg: true,
        describe: `${listsOption.describe}: say which files bad blocks belong to`,
      })
      .option("jobs", {
        type: "number",
        requiresArg: true,
        default: LIMITS.check.jobs,
        describe: "blocks read at once",
      })
      .option("restart", { type: "boolean", describe: "begin anew where a run was interrupted" })
      .option("json", { type: "boolean", describe: "as JSON" })
      .example("psync fsck --lists lists/", "changes nothing; status 5 where anything is wrong")
      .example("psync fsck --repair --server http://localhost:8000", "fetches again what is bad"),
  run: (args, context) => sayingWhatIsKept(() => runFsck(args, context)),
});

interface FsckArguments {
  readonly repair: boolean | undefined;
  readonly lists: readonly string[] | undefined;
  readonly jobs: number;
  readonly restart: boolean | undefined;
  readonly json: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

async function runFsck(args: FsckArguments, context: CommandContext): Promise<void> {
  const { settings, log, signal } = context;
  const { storePath } = settings;
  const { maxJobs } = LIMITS.check;
  const { jobs, repair = false, restart = false } = args;
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > maxJobs) {
    throw new PsyncError("ERR_PSYNC_USAGE", "--jobs is out of range", {
      hint: `it must be 1 to ${maxJobs}`,
    });
  }
  const asked = repair ? await settings.servers() : [];
  const cacheQuotaBytes = repair ? await settings.cacheQuotaBytes() : undefined;
  const minFree = repair ? await settings.minFree() : undefined;
  const { checkLocalStore, createServers, openLocalStore } = await import("../compose.js");
  const { affectedLists } = await import("../transfer/affectedLists.js");
  // All of them are read now, and again at the end: a bad one is told before hours of reading.
  const listPaths: string[] = [];
  for await (const { path } of findLists(args.lists ?? [], { signal })) listPaths.push(path);
  const access = repair ? "change" : "look";
  const store = await openLocalStore({ storePath, cacheQuotaBytes, minFree, log }, access);
  const records = repair ? store.servers : undefined;
  const servers = asked.length > 0 ? createServers({ servers: asked, log, records }) : undefined;
  const quiet = args.quiet === true;
  let progress: Progress | undefined;
  let report: FsckReport;
  try {
    report = await checkLocalStore(
      { store, source: servers, log },
      {
        repair,
        jobs,
        restart,
        signal,
        onProgress: ({ checkedCount, totalCount, checkedBytes }) => {
          progress ??= createProgress({ label: "fsck", total: totalCount, quiet });
          progress.update(checkedCount, checkedBytes);
        },
      },
    ).finally(() => {
      progress?.end();
    });
    const unrepaired = unrepairedHashes(report);
    const affected = await affectedLists(listPaths, unrepaired, {
      store: store.blocks,
      log,
      signal,
    });
    if (args.json === true) await writeJson(fsckJson(report, affected));
    else await writeOut(fsckText(report, affected, storePath));
  } finally {
    await servers?.close();
    await store.close();
  }
  const error = unrepairedError(report);
  if (error) throw error;
}

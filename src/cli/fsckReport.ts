/** What `psync fsck` says: its findings as text and as JSON, and the error of what stays wrong. */
import type { BlockHash } from "../block/hash.js";
import { formatCount, formatSize } from "../core/bytes.js";
import { PsyncError } from "../core/errors.js";
import { oneLine } from "../core/log.js";
import type { FsckReport, Problem } from "../compose.js";
import type { AffectedLists } from "../transfer/affectedLists.js";
import { formatTable, lostSeedLine } from "./output.js";

function unrepaired(report: FsckReport): readonly Problem[] {
  return report.problems.filter(({ outcome }) => outcome !== "restored");
}

/** The blocks that are bad, lost, or cannot be read. */
export function unrepairedHashes(report: FsckReport): ReadonlySet<BlockHash> {
  return new Set(unrepaired(report).map(({ hash }) => hash));
}

/** The report as text: a line for each problem and each strange name, then the counts. */
export function fsckText(report: FsckReport, affected: AffectedLists, storePath: string): string {
  const { problems, lostSeeds, strangeNames } = report;
  const lines: string[] = [];
  for (const problem of problems) lines.push(...problemLines(problem, affected));
  lines.push(...lostSeeds.map(lostSeedLine));
  for (const name of strangeNames) {
    lines.push(`not a block, left as it is: ${oneLine(`${storePath}/${name}`)}`);
  }
  for (const { list, lackingCount } of affected.lacking) {
    const are = lackingCount === 1 ? "is" : "are";
    lines.push(
      `${formatCount(lackingCount, "block")} of ${oneLine(list)} ${are} not in blocks/ or cache/`,
    );
  }
  if (affected.lacking.length > 0) lines.push(SEEDS_UNSEEN);
  if (lines.length > 0) lines.push("");
  return `${lines.join("\n")}${lines.length > 0 ? "\n" : ""}${formatTable(countRows(report, affected))}`;
}

const SEEDS_UNSEEN =
  "    (files that were exported without a copy, and other seeds, are not looked at: `psync check --offline LIST` reads them too)";

const SAID: Readonly<Record<Problem["outcome"], string>> = {
  bad: "bad",
  restored: "restored",
  lost: "lost",
  left: "cannot be read or moved",
};

const UNNAMED = "wrong and not named";

function countOf({ problems }: FsckReport, wanted: Problem["outcome"]): number {
  return problems.filter(({ outcome }) => outcome === wanted).length;
}

function problemLines(problem: Problem, { placesOf }: AffectedLists): readonly string[] {
  const { place, hash, why, outcome, servers } = problem;
  const lines = [`${SAID[outcome]}: ${place} block ${hash}: ${oneLine(why)}`];
  for (const { file, list, blockIndex } of placesOf.get(hash) ?? []) {
    lines.push(oneLine(`    block ${blockIndex + 1} of ${file} (${list})`));
  }
  for (const line of servers) lines.push(oneLine(`    ${line}`));
  return lines;
}

function countRows(
  report: FsckReport,
  { listCount, lacking, unreadCount }: AffectedLists,
): readonly (readonly string[])[] {
  const { repair, index } = report;
  const checked = `${report.checkedCount}, ${formatSize(report.checkedBytes)} in good ones`;
  const rows = [["checked", checked]];
  for (const outcome of [repair ? "restored" : "bad", "lost", "left"] as const) {
    rows.push([SAID[outcome], `${countOf(report, outcome)}`]);
  }
  if (report.unnamedCount > 0) rows.push([UNNAMED, `${report.unnamedCount}`]);
  if (listCount > 0) {
    const more = lacking.length > 0 ? "; see `psync check --offline LIST`" : "";
    rows.push(["lists that lack blocks", `${lacking.length} of ${listCount}${more}`]);
  }
  if (unreadCount > 0) rows.push(["lists not read", `${unreadCount}`]);
  rows.push(
    ["exported files lost", `${report.lostSeeds.length}`],
    ["not a block", `${report.strangeNames.length}`],
    [repair ? "temp files removed" : "temp files left over", `${report.leftTempFileCount}`],
  );
  if (index) {
    const { removedCount, resizedCount, sumWasWrong } = index;
    const sum = sumWasWrong ? ", and the sum" : "";
    rows.push(["index rows corrected", `${removedCount + resizedCount}${sum}`]);
  }
  return rows;
}

/** The report for programs. */
export function fsckJson(report: FsckReport, affected: AffectedLists): unknown {
  const { placesOf, lacking, unreadCount } = affected;
  return {
    ...report,
    problems: report.problems.map((problem) => ({
      ...problem,
      lists: placesOf.get(problem.hash) ?? [],
    })),
    lacking,
    unreadListCount: unreadCount,
  };
}

/** The error of a store that is not right after all; undefined where it is. */
export function unrepairedError(report: FsckReport): PsyncError | undefined {
  const count = unrepaired(report).length + report.unnamedCount;
  if (count === 0) return undefined;
  const parts = (["bad", "lost", "left"] as const)
    .map((outcome) => ({ said: SAID[outcome], count: countOf(report, outcome) }))
    .concat({ said: UNNAMED, count: report.unnamedCount })
    .filter((part) => part.count > 0)
    .map((part) => `${part.count} ${part.said}`);
  const still = report.repair ? " still" : "";
  const problem = `${formatCount(count, "block")} of the store ${count === 1 ? "is" : "are"}${still} wrong: ${parts.join(", ")}`;
  return new PsyncError("ERR_PSYNC_CORRUPT", problem, {
    hint: report.repair
      ? "name a server that has them: psync fsck --repair --server URL; to give up a lost one, remove its file from quarantine/"
      : "psync fsck --repair sets bad ones aside, and fetches them again where a server is named",
  });
}

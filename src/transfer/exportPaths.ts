/** Files, folders or a stream → hashlist files: which list goes where. */
import { realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { writeAtomically } from "../core/atomicFile.js";
import { errorMessage, PsyncError } from "../core/errors.js";
import { HASHLIST_SUFFIX } from "../hashlist/format.js";
import { asFailure, exportLines, exportToListFile, refuseOverwrite } from "./exportFile.js";
import {
  createTreeTotals,
  exportTree,
  makeFolder,
  type TreeExportOptions,
  type TreeTotals,
} from "./exportTree.js";

/**
 * Exports to lists with trailers. One file: its list is `output`, or in it where that is a folder. One folder: its
 * tree of lists becomes `output`. Several paths: each under its own name in the folder `output`.
 *
 * @throws ERR_PSYNC_USAGE the paths and the output do not fit together
 * @throws as `exportTree` and `exportToListFile`
 */
export async function exportPaths(
  paths: readonly string[],
  output: string,
  options: TreeExportOptions,
): Promise<TreeTotals> {
  const totals = createTreeTotals();
  const add = (more: Partial<TreeTotals>): void => {
    for (const key of Object.keys(totals) as (keyof TreeTotals)[]) totals[key] += more[key] ?? 0;
  };
  const excluded = await Promise.all(options.excluded.map((path) => realpath(path)));
  const inFolder = paths.length > 1 || output.endsWith("/") || (await isFolder(output));
  const names = paths.map((path) => basename(resolve(path)));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new PsyncError("ERR_PSYNC_USAGE", `two of the paths are named ${twice}`, {
      hint: "export them to different folders",
    });
  }
  for (const path of paths) {
    const target = join(output, basename(resolve(path)));
    if (await isFolderOrThrow(path)) {
      add(await exportTree(path, paths.length > 1 ? target : output, { ...options, excluded }));
    } else {
      if (inFolder) await makeFolder(output);
      const listPath = inFolder ? target + HASHLIST_SUFFIX : output;
      add({ fileCount: 1, ...(await exportToListFile(path, listPath, options)) });
    }
  }
  return totals;
}

/**
 * Exports a stream to one list file.
 *
 * @throws ERR_PSYNC_USAGE `output` is a folder, or a file that is not named like a list
 */
export async function exportStreamToFile(
  chunks: AsyncIterable<Uint8Array>,
  output: string,
  options: TreeExportOptions,
): Promise<TreeTotals> {
  if (output.endsWith("/") || (await isFolder(output))) {
    throw new PsyncError("ERR_PSYNC_USAGE", `${output} is a folder, and stdin becomes one list`, {
      hint: `name the list: psync export -o ${join(output, `NAME${HASHLIST_SUFFIX}`)}`,
    });
  }
  await refuseOverwrite("stdin", output);
  let totals = { sizeBytes: 0, blockCount: 0 };
  try {
    await writeAtomically(output, {}, async (list) => {
      const write = (text: string): Promise<void> => list.appendFile(text);
      totals = await exportLines(chunks, { ...options, trailer: true }, write);
    });
  } catch (error) {
    throw asFailure(`cannot write the list ${output}`, error);
  }
  return { ...createTreeTotals(), fileCount: 1, ...totals };
}

/** @throws ERR_PSYNC_FAILED there is nothing at the path, or it cannot be looked at */
export async function isFolderOrThrow(path: string): Promise<boolean> {
  const stats = await stat(path).catch((error: unknown) => {
    const problem = `cannot export ${path}: ${errorMessage(error)}`;
    throw new PsyncError("ERR_PSYNC_FAILED", problem, { cause: error });
  });
  return stats.isDirectory();
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

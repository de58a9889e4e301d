/** `psync export`: bytes, files and folders into blocks and lists. */
import { formatCount, formatSize, parseSize } from "../core/bytes.js";
import { PsyncError, readAt } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { TreeTotals } from "../transfer/exportTree.js";
import { sayingWhatIsKept } from "./fullDisk.js";
import { stdinChunks } from "./inputLists.js";
import { writeJson, writeOut } from "./output.js";
import { createProgress } from "./progress.js";
import { defineCommand, type CommandContext } from "./run.js";

export const exportCommand = defineCommand({
  command: "export [path..]",
  describe: "Make hashlists of files, and keep their blocks",
  builder: (args) =>
    args
      .positional("path", {
        type: "string",
        array: true,
        default: [] as string[],
        describe: "files and folders [stdin]",
      })
      .option("output", {
        alias: "o",
        type: "string",
        requiresArg: true,
        describe: "list file, or folder of the lists; these lists have a trailer [stdout]",
      })
      .option("block-size", {
        type: "string",
        requiresArg: true,
        default: formatSize(LIMITS.block.defaultSizeBytes),
        describe: "how large a block is",
      })
      .option("no-copy", {
        type: "boolean",
        describe: "leave the blocks in the files, which must then stay as they are",
      })
      .option("trailer", { type: "boolean", describe: "add the trailer also on stdout" })
      .option("json", {
        type: "boolean",
        describe: "with -o: say what was done as JSON, on stdout",
      })
      .example("psync export disk.iso -o lists/", "the list becomes lists/disk.iso.hashlist")
      .example("psync export photos/ -o lists/", "a list for every file of the folder")
      .example("psync export --no-copy disk.iso -o lists/", "without a second copy of its bytes")
      .example("cat disk.iso | psync export > disk.iso.hashlist", "bare hashes, as the original"),
  run: (args, context) =>
    sayingWhatIsKept(
      () => runExport(args, context),
      args.noCopy === true ? "" : ", or leave the blocks in the files with --no-copy",
    ),
});

interface ExportArguments {
  readonly path: readonly string[];
  readonly output: string | undefined;
  readonly blockSize: string;
  readonly noCopy: boolean | undefined;
  readonly trailer: boolean | undefined;
  readonly json: boolean | undefined;
  readonly quiet?: boolean | undefined;
}

async function runExport(args: ExportArguments, context: CommandContext): Promise<void> {
  const { settings, log, signal } = context;
  const { path: paths, output, json = false } = args;
  const blockSizeBytes = parseBlockSize(args.blockSize);
  const { openLocalStore } = await import("../compose.js");
  const { exportFileLines, exportLines } = await import("../transfer/exportFile.js");
  const { exportPaths, exportStreamToFile, isFolderOrThrow } =
    await import("../transfer/exportPaths.js");
  const [only] = paths;
  if (args.noCopy === true && only === undefined) throw stdinIsNoFile();
  if (output === undefined) {
    if (json) throw usage("--json goes with -o: stdout is taken by the list");
    if (paths.length > 1 || (only !== undefined && (await isFolderOrThrow(only)))) {
      throw usage("several lists cannot go to stdout");
    }
  }
  const store = await openLocalStore({ storePath: settings.storePath, log }, "write");
  const progress = createProgress({ label: "export", total: 0, quiet: args.quiet === true });
  let movedBytes = 0;
  const options = {
    store: store.blocks,
    blockSizeBytes,
    signal,
    log,
    excluded: [settings.storePath],
    trailer: args.trailer === true,
    inPlace:
      args.noCopy === true ? { keeper: store.seeds, isOwnDevice: await ownDevices() } : undefined,
    onBytes: (sizeBytes: number) => {
      movedBytes += sizeBytes;
      progress.update(0, movedBytes);
    },
  };
  const stdin = (): AsyncIterable<Uint8Array> => stdinChunks({ log, signal });
  try {
    if (output === undefined) {
      if (only === undefined) await exportLines(stdin(), options, writeOut);
      else await exportFileLines(only, options, writeOut);
      return;
    }
    const totals =
      only === undefined
        ? await exportStreamToFile(stdin(), output, options)
        : await exportPaths(paths, output, options);
    progress.end();
    log.info(`exported ${describe(totals)} to ${output}`);
    if (json) await writeJson(totals);
    if (totals.failedCount > 0) {
      const problem = `${formatCount(totals.failedCount, "file")} could not be exported`;
      throw new PsyncError("ERR_PSYNC_FAILED", problem, { hint: "the messages above say why" });
    }
  } finally {
    progress.end();
    await store.close();
  }
}

function describe(totals: TreeTotals): string {
  const { fileCount, symlinkCount, skippedCount, sizeBytes, blockCount } = totals;
  const parts = [
    `${formatCount(fileCount, "file")} (${formatSize(sizeBytes)}, ${formatCount(blockCount, "block")})`,
  ];
  if (symlinkCount > 0) parts.push(formatCount(symlinkCount, "symlink"));
  if (skippedCount > 0) parts.push(`${skippedCount} skipped`);
  return parts.join(", ");
}

function parseBlockSize(text: string): number {
  const sizeBytes = readAt("--block-size", () => parseSize(text));
  const { maxSizeBytes } = LIMITS.block;
  if (sizeBytes < 1 || sizeBytes > maxSizeBytes) {
    throw new PsyncError("ERR_PSYNC_USAGE", `a block size of ${text} is out of range`, {
      hint: `it must be 1 to ${formatSize(maxSizeBytes)}`,
    });
  }
  return sizeBytes;
}

/** Whether a device is a mount of psync, as far as they are there now. */
async function ownDevices(): Promise<(device: bigint) => boolean> {
  const { deviceNumber, isPsyncMount, readMountTable } = await import("../core/mountTable.js");
  const devices = new Set((await readMountTable()).filter(isPsyncMount).map(deviceNumber));
  return (device) => devices.has(Number(device));
}

function stdinIsNoFile(): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", "--no-copy is for files: what comes on stdin is gone", {
    hint: "name the file: psync export --no-copy PATH -o LISTS/",
  });
}

function usage(problem: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", problem, {
    hint: "say where the lists go: psync export PATH… -o LISTS/",
  });
}

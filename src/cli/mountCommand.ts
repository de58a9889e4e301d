/** `psync mount`: a folder of hashlists as a folder of files. */
import { realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { systemClock } from "../core/clock.js";
import { errorMessage, PsyncError } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { closeInTime } from "./closeInTime.js";
import {
  isDaemonChild,
  reportFailure,
  reportingWarnings,
  reportReady,
  startDaemon,
} from "./daemon.js";
import { createFileLogger, daemonLogPath } from "./logFile.js";
import { writeOut } from "./output.js";
import {
  cacheSizeOption,
  defineCommand,
  limitRateOption,
  minFreeOption,
  seedOption,
  serverOption,
  type CommandContext,
} from "./run.js";

export const mountCommand = defineCommand({
  command: "mount <lists> <mountpoint>",
  describe: "Show hashlists as files that can be read at once",
  builder: (args) =>
    args
      .positional("lists", {
        type: "string",
        demandOption: true,
        describe: "folder of hashlists, or one hashlist",
      })
      .positional("mountpoint", { type: "string", demandOption: true, describe: "empty folder" })
      .option("server", serverOption)
      .option("cache-size", cacheSizeOption)
      .option("min-free", minFreeOption)
      .option("limit-rate", limitRateOption)
      .option("seed", seedOption)
      .option("offline", {
        type: "boolean",
        describe: "ask no server, whatever is configured: only what is in the store can be read",
      })
      .option("daemon", {
        alias: "d",
        type: "boolean",
        describe: "go to the background once it can be read; logs to the store",
      })
      .option("allow-other", { type: "boolean", describe: "let other users read it too" })
      .example("psync mount lists/ /mnt/psync --server http://localhost:8000", "until Ctrl-C")
      .example("psync mount lists/ /mnt/psync --daemon", "until `psync umount /mnt/psync`"),
  run: async (args, context) => {
    if (args.offline === true && args.server !== undefined) throw offlineWithServer();
    const mountpoint = resolve(args.mountpoint);
    const logPath = daemonLogPath(context.settings.storePath, mountpoint);
    if (isDaemonChild()) {
      const lowest = args.verbose === true ? "debug" : "info";
      const log = reportingWarnings(createFileLogger(logPath, lowest));
      try {
        await mountUntilStopped({ ...args, mountpoint }, { ...context, log }, (ready) => {
          log.info(ready);
          reportReady(mountpoint);
        });
      } catch (error) {
        log.error(errorMessage(error));
        reportFailure(error);
        throw error;
      }
    } else if (args.daemon === true) {
      const { pid } = await startDaemon(logPath, context);
      context.log.info(`${mountpoint} is mounted by process ${pid}, which logs to ${logPath}`);
    } else {
      await mountUntilStopped({ ...args, mountpoint }, context, (ready) => {
        void writeOut(`${ready}; Ctrl-C unmounts it\n`);
      });
    }
  },
});

interface MountArguments {
  readonly lists: string;
  readonly mountpoint: string;
  readonly allowOther: boolean | undefined;
  readonly offline: boolean | undefined;
}

async function mountUntilStopped(
  args: MountArguments,
  context: CommandContext,
  onReady: (message: string) => void,
): Promise<void> {
  const { settings, log, signal } = context;
  const { storePath } = settings;
  const isOffline = args.offline === true;
  const asked = isOffline ? [] : await settings.servers();
  const cacheQuotaBytes = await settings.cacheQuotaBytes();
  const minFree = await settings.minFree();
  const limitBytesPerSecond = await settings.limitBytesPerSecond();
  const seeds = await settings.seeds();
  const {
    createListsFileSystem,
    createMountDriver,
    createOfflineSource,
    createReadPath,
    createServers,
    openLocalStore,
    scrubLocalStore,
  } = await import("../compose.js");
  const { startMountSession } = await import("../mount/mountSession.js");
  const listsPath = await realListsPath(args.lists);
  const store = await openLocalStore({ storePath, cacheQuotaBytes, minFree, log }, "cache");
  const records = store.servers;
  const servers = isOffline
    ? createOfflineSource()
    : createServers({ servers: asked, log, limitBytesPerSecond, records });
  const readPath = createReadPath({
    store: store.blocks,
    sizes: store.sizes,
    seeds: store.seeds,
    servers,
    awaitsSeeds: asked.length === 0,
    log,
  });
  const source = asked.length > 0 ? servers : undefined;
  const { readers } = readPath;
  const scrub = scrubLocalStore({ store, source, readers, log });
  try {
    // A seed in its own mount would wait for itself; whatever lay there is hidden now.
    store.seeds.exclude(await realpath(args.mountpoint).catch(() => args.mountpoint));
    // Most lists have it; other sizes are looked for once a list that has one is read.
    store.seeds.lookFor(LIMITS.block.defaultSizeBytes);
    await store.seeds.use(seeds);
    const fileSystem = await createListsFileSystem({ listsPath, readPath, log });
    const driver = createMountDriver(log);
    const session = await startMountSession(
      { driver, fileSystem, clock: systemClock, log },
      {
        mountpoint: args.mountpoint,
        sourceName: listsPath,
        allowOther: args.allowOther === true,
        // A store that could not be made is not there.
        ownFolders: [listsPath, await realpath(storePath).catch(() => storePath)],
      },
    );
    store.seeds.hashBehind();
    if (isOffline) log.info("no server is asked: only blocks that are in the store can be read");
    else if (asked.length === 0) warnWithoutServers(log);
    onReady(`${listsPath} is mounted at ${session.mountpoint}`);
    await untilStopped(signal, session.closed);
    if (signal.aborted) await session.stop();
    log.info(`${session.mountpoint} is unmounted`);
  } finally {
    await closeInTime(async () => {
      await Promise.all([scrub.close(), readPath.close()]);
      await store.close();
    }, log);
  }
}

function offlineWithServer(): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", "--offline asks no server, and --server names one", {
    hint: "leave one of the two out",
  });
}

function warnWithoutServers(log: Logger): void {
  log.warn("no server is configured: only blocks that are in the store can be read");
}

/** Waits for a signal, or for somebody else to unmount it. */
async function untilStopped(signal: AbortSignal, closed: Promise<void>): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      resolve();
    };
    signal.addEventListener("abort", done, { once: true });
    void closed.then(done, done);
  });
}

async function realListsPath(lists: string): Promise<string> {
  return realpath(lists).catch((error: unknown) => {
    const problem = `cannot read the hashlists ${lists}: ${errorMessage(error)}`;
    throw new PsyncError("ERR_PSYNC_FAILED", problem, { cause: error });
  });
}

/** `psync doctor`: what this machine lacks, and what mends it. */
import type { ServerMemory, ServerRecord } from "../block/ports.js";
import { formatCount } from "../core/bytes.js";
import { formatDuration } from "../core/duration.js";
import { PsyncError } from "../core/errors.js";
import { silentLogger } from "../core/log.js";
import {
  checkAllowOther,
  checkFuseDevice,
  checkFusermount,
  checkNode,
  checkPackage,
  checkStore,
  type Check,
} from "./checks.js";
import { formatTable, writeJson, writeOut } from "./output.js";
import { defineCommand, serverOption } from "./run.js";

export const doctorCommand = defineCommand({
  command: "doctor",
  describe: "Check what psync needs of this machine, and say what mends it",
  builder: (args) =>
    args
      .option("server", serverOption)
      .option("json", { type: "boolean", describe: "as JSON" })
      .example("psync doctor", "one line for each thing that is needed"),
  run: async (args, { settings, signal }) => {
    const { nativeParts, openLocalStore, probeServer } = await import("../compose.js");
    const checks: Check[] = [
      checkNode(),
      await checkPackage({
        name: "better-sqlite3",
        neededBy: "all commands",
        load: nativeParts.loadSqlite,
        mend: "sudo apt-get install python3 make g++ && npm rebuild better-sqlite3",
      }),
      await checkPackage({
        name: "fuse-native",
        neededBy: "mount",
        load: nativeParts.loadFuseNative,
        mend: "sudo apt-get install libfuse2 fuse3",
      }),
      await checkFuseDevice(),
      await checkFusermount(),
      await checkAllowOther(),
      await checkStore(settings.storePath),
    ];
    const problem = await settings.configProblem();
    if (problem) {
      const base = { name: "config.json", neededBy: "get, mount" };
      checks.push({ ...base, status: "fail", found: problem.message, mend: "edit or remove it" });
    }
    const servers = problem === undefined ? await settings.servers() : [];
    if (problem === undefined && servers.length === 0) {
      checks.push({
        name: "servers",
        status: "warn",
        found: "none is configured",
        neededBy: "get, mount",
        mend: "name one with --server, PSYNC_SERVERS or in config.json",
      });
    }
    const known = await rememberedServers(() =>
      openLocalStore({ storePath: settings.storePath, log: silentLogger }, "read"),
    );
    const probes = servers.map(async (server): Promise<Check> => {
      const { name, problem } = await probeServer(server, { signal });
      const base = { name, neededBy: "get, mount" };
      const bannedMs = (known.get(name)?.banEndUnixMs ?? 0) - Date.now();
      if (bannedMs > 0) {
        const found = `banned for ${formatDuration(bannedMs)} more: it gave wrong bytes`;
        return { ...base, status: "warn", found, mend: `psync servers --forget ${name}` };
      }
      if (problem === undefined) return { ...base, status: "ok", found: "answers" };
      return { ...base, status: "warn", found: problem, mend: `curl -I ${name}` };
    });
    checks.push(...(await Promise.all(probes)));
    if (args.json === true) await writeJson(checks);
    else await writeOut(formatTable(checks.map(rowOf)));
    const failed = checks.filter(({ status }) => status === "fail");
    if (failed.length > 0) {
      const details = failed.map(({ name, mend }) => `${name}: ${mend ?? ""}`);
      const problem = `this machine lacks ${formatCount(failed.length, "thing")} that psync needs`;
      throw new PsyncError("ERR_PSYNC_FAILED", problem, { details });
    }
  },
});

/** What the store remembers of servers; nothing, where it cannot be opened: that is another check's to say. */
async function rememberedServers(
  open: () => Promise<{ readonly servers: ServerMemory; close(): Promise<void> }>,
): Promise<ReadonlyMap<string, ServerRecord>> {
  try {
    const store = await open();
    const records = store.servers.load();
    await store.close();
    return records;
  } catch {
    return new Map();
  }
}

function rowOf({ name, status, found, neededBy, mend }: Check): string[] {
  const advice = status === "ok" || mend === undefined ? "" : `→ ${mend}`;
  return [status, name, found, `(${neededBy})`, advice];
}

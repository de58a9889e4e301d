/** Where the store is, how large its cache may be, and which servers are asked: the command line, then the environment, then config.json. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseSize } from "../core/bytes.js";
import { errorMessage, PsyncError, systemErrorCode } from "../core/errors.js";

/** What a command asks of its settings; config.json is read only where its answer depends on it. */
export interface Settings {
  /** Absolute. */
  readonly storePath: string;
  /** Addresses as they were written, in the order of preference. @throws ERR_PSYNC_USAGE as `resolveSettings` says */
  servers(): Promise<readonly string[]>;
  /** What the cache may take of the disk; undefined: what the store takes for itself. @throws ERR_PSYNC_USAGE */
  cacheQuotaBytes(): Promise<number | undefined>;
}

export interface SettingsArguments {
  readonly store?: string | undefined;
  readonly server?: readonly string[] | undefined;
  readonly cacheSize?: string | undefined;
}

const CONFIG_NAME = "config.json";

/**
 * What is said nearest to the call wins whole: servers named with `--server` replace those of the
 * environment, and those replace the ones in config.json.
 *
 * Where config.json is not what it should be, the answers that depend on it throw ERR_PSYNC_USAGE with its path, and
 * commands that need none of them work.
 */
export function resolveSettings(
  args: SettingsArguments,
  environment: NodeJS.ProcessEnv = process.env,
): Settings {
  const storePath = resolve(
    args.store ?? nonEmpty(environment["PSYNC_STORE"]) ?? join(homedir(), ".psync"),
  );
  const fromEnvironment = nonEmpty(environment["PSYNC_SERVERS"])
    ?.split(/[\s,]+/)
    .filter(Boolean);
  const config = (): Promise<Config> => readConfig(join(storePath, CONFIG_NAME));
  return {
    storePath,
    servers: async () => args.server ?? fromEnvironment ?? (await config()).servers,
    cacheQuotaBytes: async () =>
      args.cacheSize === undefined ? (await config()).cacheQuotaBytes : parseSize(args.cacheSize),
  };
}

interface Config {
  readonly servers: readonly string[];
  readonly cacheQuotaBytes: number | undefined;
}

async function readConfig(path: string): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") {
      return { servers: [], cacheQuotaBytes: undefined };
    }
    throw badConfig(path, `cannot be read: ${errorMessage(error)}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badConfig(path, `is not JSON: ${errorMessage(error)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badConfig(path, "is not a JSON object");
  }
  const { servers = [], cacheSize, ...unknown } = value as Record<string, unknown>;
  const [unknownName] = Object.keys(unknown);
  if (unknownName !== undefined) {
    throw badConfig(path, `has a setting that psync does not know: ${JSON.stringify(unknownName)}`);
  }
  if (!Array.isArray(servers) || !servers.every((server) => typeof server === "string")) {
    throw badConfig(path, '"servers" is not a list of addresses');
  }
  return { servers, cacheQuotaBytes: parseCacheSize(path, cacheSize) };
}

function parseCacheSize(path: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  try {
    if (typeof value === "string") return parseSize(value);
  } catch {
    // Said below, with the file's name.
  }
  throw badConfig(path, '"cacheSize" is not a size in quotes, such as "10GiB"');
}

function badConfig(path: string, problem: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", `${path} ${problem}`, {
    hint: 'it looks like this: { "servers": ["http://server.example:8000"], "cacheSize": "10GiB" }',
  });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

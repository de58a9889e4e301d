/**
 * Where the store is, how large its cache may be, which servers are asked and how: the command line, then the
 * environment, then config.json.
 */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { parseFreeSpace, parseRate, parseSize, type FreeSpace } from "../core/bytes.js";
import { isPsyncError, readAt, type PsyncError } from "../core/errors.js";
import { readProxies } from "../fetch/proxies.js";
import { parseServer, type ServerSettings } from "../fetch/serverSettings.js";
import { readConfig, type Config } from "./configFile.js";

/** What a command asks of its settings; config.json is read only where its answer depends on it. */
export interface Settings {
  /** Absolute. */
  readonly storePath: string;
  /**
   * The servers in the order of preference. One that config.json names too is asked as it says there, with its headers
   * and TLS, wherever the address came from.
   *
   * @param named addresses that the command has besides `--server`: asked first, and in place of the environment's
   * @throws ERR_PSYNC_USAGE as `resolveSettings` says
   */
  servers(named?: readonly string[]): Promise<readonly ServerSettings[]>;
  /** What the cache may take of the disk; undefined: what the store takes for itself. @throws ERR_PSYNC_USAGE */
  cacheQuotaBytes(): Promise<number | undefined>;
  /** What the cache leaves free of the disk; undefined: what the store leaves by itself. @throws ERR_PSYNC_USAGE */
  minFree(): Promise<FreeSpace | undefined>;
  /** How fast blocks may be fetched, from all servers together; undefined: no limit. @throws ERR_PSYNC_USAGE */
  limitBytesPerSecond(): Promise<number | undefined>;
  /** Files and folders to take blocks from, absolute. @throws ERR_PSYNC_USAGE */
  seeds(): Promise<readonly string[]>;
  /** What is wrong with config.json, if something is. */
  configProblem(): Promise<PsyncError | undefined>;
}

export interface SettingsArguments {
  readonly store?: string | undefined;
  readonly server?: readonly string[] | undefined;
  readonly cacheSize?: string | undefined;
  readonly minFree?: string | undefined;
  readonly limitRate?: string | undefined;
  readonly seed?: readonly string[] | undefined;
}

const CONFIG_NAME = "config.json";

/**
 * What is said nearest to the call wins whole: servers named with `--server` replace those of the
 * environment, and those replace the ones in config.json; seeds named with `--seed` replace those in config.json.
 *
 * Where config.json is not what it should be, the answers that depend on it throw ERR_PSYNC_USAGE with its path and the
 * place in it, and commands that need none of them work. An address or a proxy that means nothing is named with
 * where it stands.
 */
export function resolveSettings(
  args: SettingsArguments,
  environment: NodeJS.ProcessEnv = process.env,
): Settings {
  const storePath = resolve(
    args.store ?? nonEmpty(environment["PSYNC_STORE"]) ?? join(homedir(), ".psync"),
  );
  let reading: Promise<Config> | undefined;
  const config = (): Promise<Config> => (reading ??= readConfig(join(storePath, CONFIG_NAME)));

  /** The servers that were named nearer than in config.json. */
  const namedServers = (named: readonly string[]): ServerSettings[] | undefined => {
    const { server } = args;
    if (named.length > 0 || server !== undefined) {
      const more = (server ?? []).map((text) => readAt("--server", () => parseServer(text)));
      return [...named.map(parseServer), ...more];
    }
    return nonEmpty(environment["PSYNC_SERVERS"])
      ?.split(/[\s,]+/)
      .filter(Boolean)
      .map((text) => readAt("PSYNC_SERVERS", () => parseServer(text)));
  };

  return {
    storePath,
    async servers(named = []) {
      const proxies = readProxies(environment);
      const nearer = namedServers(named);
      const { servers: configured } = await config();
      const servers = nearer?.map((server) => asConfigured(server, configured)) ?? configured;
      return servers.map((server) => ({ ...server, proxies }));
    },
    cacheQuotaBytes: async () => {
      const { cacheSize } = args;
      if (cacheSize === undefined) return (await config()).cacheQuotaBytes;
      return readAt("--cache-size", () => parseSize(cacheSize));
    },
    minFree: async () => {
      const { minFree } = args;
      if (minFree === undefined) return (await config()).minFree;
      return readAt("--min-free", () => parseFreeSpace(minFree));
    },
    limitBytesPerSecond: async () => {
      const { limitRate } = args;
      if (limitRate === undefined) return (await config()).limitBytesPerSecond;
      return readAt("--limit-rate", () => parseRate(limitRate));
    },
    seeds: async () => args.seed?.map((path) => resolve(path)) ?? (await config()).seeds,
    configProblem: () =>
      config().then(
        () => undefined,
        (error: unknown) => {
          if (isPsyncError(error)) return error;
          throw error;
        },
      ),
  };
}

/** The server as config.json has it; credentials that were named nearer go before those. */
function asConfigured(
  server: ServerSettings,
  configured: readonly ServerSettings[],
): ServerSettings {
  const entry = configured.find(({ url }) => url.display === server.url.display);
  if (entry === undefined) return server;
  return server.url.authorization() === undefined ? entry : { ...entry, url: server.url };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/**
 * config.json of the store: read whole, and checked to the last key, so that a slip of the pen is told before
 * anything is fetched. Its errors name the file and the place in it, and never a value: it holds secrets.
 */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseFreeSpace, parseRate, parseSize, type FreeSpace } from "../core/bytes.js";
import { errorMessage, PsyncError, readAt, systemErrorCode } from "../core/errors.js";
import { parseHeaders, parseServer, type ServerSettings } from "../fetch/serverSettings.js";
import {
  checkCertificates,
  checkKey,
  checkKeyFits,
  type TlsIdentity,
} from "../fetch/tlsIdentity.js";
import { findJsonError } from "./jsonError.js";

export interface Config {
  /** In the order of preference. */
  readonly servers: readonly ServerSettings[];
  readonly cacheQuotaBytes: number | undefined;
  readonly minFree: FreeSpace | undefined;
  readonly limitBytesPerSecond: number | undefined;
  /** Absolute; relative ones begin at the folder of the file. */
  readonly seeds: readonly string[];
}

const NO_CONFIG: Config = {
  servers: [],
  seeds: [],
  cacheQuotaBytes: undefined,
  minFree: undefined,
  limitBytesPerSecond: undefined,
};

const HINT =
  'it looks like this: { "servers": ["http://server.example:8000"], "cacheSize": "10GiB", "minFree": "5%", "limitRate": "10MB/s" }';

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Reads the file; one that is not there says nothing.
 *
 * @throws ERR_PSYNC_USAGE it cannot be read, is not JSON, has a key that psync does not know or a value that means
 *   nothing, or names a PEM file that is not to be used
 */
export async function readConfig(path: string): Promise<Config> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return NO_CONFIG;
    throw new PsyncError("ERR_PSYNC_USAGE", `${path}: cannot be read: ${errorMessage(error)}`);
  }
  const config = readAt(path, () => {
    const members = objectOf(parseJson(text), HINT);
    refuseUnknown(members, ["servers", "cacheSize", "minFree", "limitRate", "seeds"]);
    const { servers = [], cacheSize, minFree, limitRate, seeds = [] } = members;
    if (!Array.isArray(servers)) throw usage("servers: not a list in [ ]");
    if (!Array.isArray(seeds)) throw usage("seeds: not a list in [ ]");
    return {
      servers: servers as readonly unknown[],
      seeds: (seeds as readonly unknown[]).map((seed, index) => {
        if (typeof seed === "string" && seed !== "") return resolve(dirname(path), seed);
        throw usage(`seeds[${index}]: not a path in quotes`);
      }),
      cacheQuotaBytes: quoted("cacheSize", cacheSize, parseSize),
      minFree: quoted("minFree", minFree, parseFreeSpace),
      limitBytesPerSecond: quoted("limitRate", limitRate, parseRate),
    };
  });
  const servers: ServerSettings[] = [];
  for (const [index, entry] of config.servers.entries()) {
    const place = `${path}: servers[${index}]`;
    servers.push(await readServer(entry, { place, folder: dirname(path) }));
  }
  return { ...config, servers };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Node's message shows a piece of the file, and a secret may lie there.
    const { line, column } = findJsonError(text);
    throw usage(`line ${line}, column ${column}: not JSON`, HINT);
  }
}

interface EntryPlace {
  readonly place: string;
  /** Where names of PEM files begin. */
  readonly folder: string;
}

const SERVER_HINT =
  'a server is an address in quotes, or { "url": "https://…", "headers": { … }, "ca": "FILE", "cert": "FILE", "key": "FILE" }';

async function readServer(entry: unknown, { place, folder }: EntryPlace): Promise<ServerSettings> {
  if (typeof entry === "string") return readAt(place, () => parseServer(entry));
  const { server, members } = readAt(place, () => {
    const members = objectOf(entry, SERVER_HINT);
    refuseUnknown(members, ["url", "headers", "ca", "cert", "key"], SERVER_HINT);
    const { url } = members;
    if (typeof url !== "string") throw usage("url: not an address in quotes", SERVER_HINT);
    return { server: readAt("url", () => parseServer(url)), members };
  });
  const { headers: wanted = {} } = members;
  const headers = readAt(`${place}.headers`, () => parseHeaders(objectOf(wanted)));
  if (server.url.authorization() !== undefined && headers["authorization"] !== undefined) {
    throw usage(`${place}: both the url and the headers say who asks; leave one out`);
  }
  const tls = await readTls(members, {
    place,
    folder,
    isHttps: server.url.origin.startsWith("https:"),
  });
  return { ...server, headers: () => headers, tls: () => tls };
}

async function readTls(
  { ca, cert, key }: JsonObject,
  { place, folder, isHttps }: EntryPlace & { readonly isHttps: boolean },
): Promise<TlsIdentity | undefined> {
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  if (!isHttps) throw usage(`${place}: ca, cert and key are for https; the url says http`);
  if (cert === undefined && key !== undefined) throw usage(`${place}: a key needs its cert`);
  if (cert !== undefined && key === undefined) throw usage(`${place}: a cert needs its key`);
  const read = async (name: string, file: unknown, check: (pem: string) => void) => {
    if (file === undefined) return undefined;
    const pem = await readPem(file, { place: `${place}.${name}`, folder });
    readAt(`${place}.${name}`, () => {
      check(pem);
    });
    return pem;
  };
  const pems = {
    ca: await read("ca", ca, checkCertificates),
    cert: await read("cert", cert, checkCertificates),
    key: await read("key", key, checkKey),
  };
  const pair =
    pems.cert !== undefined && pems.key !== undefined
      ? { cert: pems.cert, key: pems.key }
      : undefined;
  if (pair) {
    readAt(`${place}.key`, () => {
      checkKeyFits(pair);
    });
  }
  return { ...(pems.ca === undefined ? {} : { ca: pems.ca }), ...pair };
}

async function readPem(file: unknown, { place, folder }: EntryPlace): Promise<string> {
  if (typeof file !== "string" || file === "") throw usage(`${place}: not a file's name in quotes`);
  try {
    return await readFile(resolve(folder, file), "utf8");
  } catch (error) {
    throw usage(`${place}: cannot be read: ${errorMessage(error)}`);
  }
}

function objectOf(value: unknown, hint?: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as JsonObject;
  throw usage("not an object in { }", hint);
}

function refuseUnknown(members: JsonObject, known: readonly string[], hint?: string): void {
  const unknown = Object.keys(members).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const problem = `a setting that psync does not know: ${JSON.stringify(unknown)}`;
  throw usage(problem, hint ?? `these are known: ${known.join(", ")}`);
}

/** A size, a part or a rate, which stand in quotes for their units. */
function quoted<T>(name: string, value: unknown, parse: (text: string) => T): T | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw usage(`${name}: not a text in quotes`, HINT);
  return readAt(name, () => parse(value));
}

function usage(problem: string, hint?: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", problem, hint === undefined ? {} : { hint });
}

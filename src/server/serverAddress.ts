/** Where the block server listens, as people write it, and under which URLs others then reach it. */
import { isIPv6 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { PsyncError } from "../core/errors.js";

export interface ServerAddress {
  /** A name or an IP address without brackets; undefined: every interface of the machine. */
  readonly host: string | undefined;
  /** 0 to 65535; 0 lets the system choose. */
  readonly port: number;
}

const DEFAULT_HOST = "localhost";
const DEFAULT_PORT = 8000;
const HOST = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?$/i;

/**
 * Reads `HOST:PORT`, `HOST`, `PORT`, `:PORT`, `[IPV6]:PORT` or nothing. Without a host it is localhost,
 * but `:PORT` is every interface, as in the original psync; without a port it is 8000.
 *
 * @throws ERR_PSYNC_USAGE it is none of these
 */
export function parseServerAddress(text = ""): ServerAddress {
  const { host, portText } = splitAddress(text.trim());
  const port = portText === undefined ? DEFAULT_PORT : Number(portText);
  const isHost = host === undefined || isIPv6(host) || HOST.test(host);
  const isPort = portText === undefined || (/^\d{1,5}$/.test(portText) && port <= 65_535);
  if (!isHost || !isPort) {
    throw new PsyncError(
      "ERR_PSYNC_USAGE",
      `not an address to listen on: ${JSON.stringify(text)}`,
      {
        hint: "write HOST:PORT, HOST, PORT, or :PORT for every interface; the default is localhost:8000",
      },
    );
  }
  return { host, port };
}

function splitAddress(text: string): { host: string | undefined; portText: string | undefined } {
  if (text === "") return { host: DEFAULT_HOST, portText: undefined };
  if (/^\d+$/.test(text)) return { host: DEFAULT_HOST, portText: text };
  if (isIPv6(text)) return { host: text, portText: undefined };
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed) {
    const [, inside = "", portText] = bracketed;
    // Only an IPv6 address stands in brackets; what is none is refused as an empty host.
    return { host: isIPv6(inside) ? inside : "", portText };
  }
  const colon = text.indexOf(":");
  if (colon < 0) return { host: text, portText: undefined };
  const host = text.slice(0, colon);
  return { host: host === "" ? undefined : host, portText: text.slice(colon + 1) };
}

export type NetworkInterfaces = NodeJS.Dict<NetworkInterfaceInfo[]>;

/**
 * The URLs of a listening server, the most useful first: for a server on every interface those that
 * other machines can use, and loopback only where there is no other.
 *
 * @param bound what the system bound: an IP address and a port
 * @param interfaces as `os.networkInterfaces()` lists them
 */
export function urlsOf(
  bound: { readonly address: string; readonly port: number },
  interfaces: NetworkInterfaces,
): string[] {
  const isEvery = bound.address === "0.0.0.0" || bound.address === "::";
  const addresses = isEvery
    ? reachableAddresses(interfaces, { withIPv6: bound.address === "::" })
    : [bound.address];
  return addresses.map(
    (address) => `http://${isIPv6(address) ? `[${address}]` : address}:${bound.port}`,
  );
}

function reachableAddresses(
  interfaces: NetworkInterfaces,
  { withIPv6 }: { readonly withIPv6: boolean },
): string[] {
  const external = Object.values(interfaces)
    .flatMap((infos) => infos ?? [])
    // A link-local address means nothing without the name of the other machine's interface.
    .filter((info) => !info.internal && !/^(fe[89ab][0-9a-f]:|169\.254\.)/i.test(info.address));
  const ofFamily = (family: "IPv4" | "IPv6"): string[] =>
    external.filter((info) => info.family === family).map((info) => info.address);
  const found = [...ofFamily("IPv4"), ...(withIPv6 ? ofFamily("IPv6") : [])];
  return found.length > 0 ? found : ["127.0.0.1"];
}

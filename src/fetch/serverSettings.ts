/**
 * What a server is asked with besides its address: headers, TLS of its own, a proxy. Secrets stay behind functions,
 * so that neither a log, an error nor a dump of the object can show them.
 */
import { PsyncError } from "../core/errors.js";
import type { Proxies } from "./proxies.js";
import { parseServerUrl, type ServerUrl } from "./serverUrl.js";
import type { TlsIdentity } from "./tlsIdentity.js";

export interface ServerSettings {
  readonly url: ServerUrl;
  /** Sent with every request, the names in lower case; the address's credentials are not among them. */
  readonly headers: () => Readonly<Record<string, string>>;
  /** In place of the system's authorities, and without a certificate where undefined. Only of https servers. */
  readonly tls: () => TlsIdentity | undefined;
  /** Undefined: it is asked without one. */
  readonly proxies: Proxies | undefined;
}

/**
 * A server of which nothing but the address is known.
 *
 * @throws ERR_PSYNC_USAGE as `parseServerUrl` does
 */
export function parseServer(address: string): ServerSettings {
  return {
    url: parseServerUrl(address),
    headers: () => ({}),
    tls: () => undefined,
    proxies: undefined,
  };
}

/** Headers that are psync's to set, or that say how a message is framed and whom it passes. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "keep-alive",
  "max-forwards",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "range",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
]);

/**
 * Reads headers that a user wants to be sent.
 *
 * @returns names in lower case and values
 * @throws ERR_PSYNC_USAGE a name or value that RFC 9110 does not allow, a header that is psync's own, or one twice;
 *   no message has a value, nor a name that is none: it may be half of a secret
 */
export function parseHeaders(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const parsed = new Map<string, string>();
  Object.entries(headers).forEach(([name, value], index) => {
    const key = name.toLowerCase();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(key)) {
      throw usage(`the name of header ${index + 1} has characters that a name cannot have`);
    }
    if (OWN_HEADERS.has(key)) throw usage(`${key} cannot be set: psync or its connection does`);
    if (parsed.has(key)) throw usage(`${key} is there twice`);
    if (typeof value !== "string") throw usage(`${key}: the value is not a text in quotes`);
    if (!/^[\t\u0020-\u007e\u0080-\u00ff]+$/.test(value) || value !== value.trim()) {
      throw usage(`${key}: the value is empty, or has characters that a header cannot have`);
    }
    parsed.set(key, value);
  });
  return Object.fromEntries(parsed);
}

function usage(problem: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", problem, {
    hint: 'headers look like this: { "authorization": "Bearer …" }',
  });
}

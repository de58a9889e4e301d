/**
 * Server addresses as people write them. Credentials stay behind a function, so that neither a log,
 * an error nor a dump of the object can show them.
 */
import { PsyncError } from "../core/errors.js";

export interface ServerUrl {
  /** How messages name the server: no credentials, no slash at the end. One server, one such name. */
  readonly display: string;
  /** `http://host:port` or `https://host:port`: where connections go. */
  readonly origin: string;
  /** Where blocks lie: starts and ends with a slash. */
  readonly basePath: string;
  /** The Authorization header's value, where the address has credentials. */
  readonly authorization: () => string | undefined;
}

const HINT = "write http://HOST[:PORT][/PATH/], https://… or HOST:PORT";

/**
 * Reads a server's address: `http(s)://[user:password@]host[:port][/base/]`, or `host[:port]` for http.
 *
 * @param what how the error calls it, where it is not a server of blocks
 * @throws ERR_PSYNC_USAGE it is not one: another scheme, a query, no host; the message says why, and has no credentials
 */
export function parseServerUrl(text: string, what = "a server address"): ServerUrl {
  const trimmed = text.trim();
  const url = readUrl(trimmed);
  if (typeof url === "string") {
    throw new PsyncError("ERR_PSYNC_USAGE", `not ${what}: ${redact(trimmed)}: ${url}`, {
      hint: HINT,
    });
  }
  const basePath = url.pathname.endsWith("/") ? url.pathname : `${url.pathname}/`;
  const authorization = basicAuth(url);
  return {
    display: url.origin + basePath.slice(0, -1),
    origin: url.origin,
    basePath,
    authorization: () => authorization,
  };
}

/** @returns the address, or why it is none */
function readUrl(text: string): URL | string {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  // What URL would quietly repair (spaces, a port alone read as an address, "https:host") is a slip.
  if (text === "") return "it is empty";
  if (text.endsWith(".hashlist")) return "it is named like a hashlist";
  if (/[\u0000-\u0020\u007f\\]/.test(text))
    return "it has a space, a backslash or a control character";
  if (!hasScheme && /^https?:/i.test(text)) return "two slashes belong after the scheme";
  if (!hasScheme && /^:?\d*$/.test(text)) return "it has no host";
  if (hasScheme && !/^https?:/i.test(text)) return "it is neither http nor https";
  const withScheme = hasScheme ? text : `http://${text}`;
  if (!URL.canParse(withScheme)) return problemOfHostAndPort(withScheme);
  const url = new URL(withScheme);
  // `href` shows an empty query or fragment too, `search` and `hash` do not.
  if (url.href.includes("?")) return "it has a query";
  if (url.href.includes("#")) return "it has a fragment";
  if (url.port === "0") return PORT_PROBLEM;
  const isEscaped = !/%(?![0-9a-f]{2})/i.test(url.username + url.password);
  return isEscaped ? url : "a % of its name or password is not followed by two hex digits";
}

const PORT_PROBLEM = "the port is not a number from 1 to 65535";

/** Why URL refuses a text that has a scheme and no space. */
function problemOfHostAndPort(text: string): string {
  const authority = text.replace(/^[^/]*\/\//, "").replace(/[/?#].*$/s, "");
  const hostAndPort = authority.slice(authority.lastIndexOf("@") + 1);
  const host = hostAndPort.replace(/:[^:\]]*$/, "");
  if (host === "") return "it has no host";
  const isPortToBlame = host !== hostAndPort && URL.canParse(`http://${host}`);
  return isPortToBlame ? PORT_PROBLEM : "the host makes no sense";
}

/** RFC 7617: the bytes that the address escapes, in base64. */
function basicAuth(url: URL): string | undefined {
  if (url.username === "" && url.password === "") return undefined;
  const pair = `${url.username}:${url.password}`;
  const bytes = Buffer.from(
    pair.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    ),
    "latin1",
  );
  return `Basic ${bytes.toString("base64")}`;
}

/** What may be shown of a text that could not be read: nothing before its last `@`, nothing of a query. */
function redact(text: string): string {
  const at = text.lastIndexOf("@");
  const shown = at < 0 ? text : `…${text.slice(at)}`;
  return JSON.stringify(shown.replace(/([?#]).+$/s, "$1…"));
}

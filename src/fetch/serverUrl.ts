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
 * @throws ERR_PSYNC_USAGE it is not one: another scheme, a query, no host; the message has no credentials
 */
export function parseServerUrl(text: string): ServerUrl {
  const trimmed = text.trim();
  const url = readUrl(trimmed);
  if (url === undefined) {
    throw new PsyncError("ERR_PSYNC_USAGE", `not a server address: ${redact(trimmed)}`, {
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

function readUrl(text: string): URL | undefined {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  // What URL would quietly repair (spaces, a port alone read as an address, "https:host") is a slip.

  if (/[\u0000-\u0020\u007f\\]/.test(text)) return undefined;
  if (!hasScheme && (/^\d*$/.test(text) || /^https?:/i.test(text))) return undefined;
  const withScheme = hasScheme ? text : `http://${text}`;
  if (!URL.canParse(withScheme)) return undefined;
  const url = new URL(withScheme);
  const isHttp = url.protocol === "http:" || url.protocol === "https:";
  // `href` shows an empty query or fragment too, `search` and `hash` do not.
  if (!isHttp || url.port === "0" || /[?#]/.test(url.href)) return undefined;
  return /%(?![0-9a-f]{2})/i.test(url.username + url.password) ? undefined : url;
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

/** What may be shown of a text that could not be read: nothing before its last `@`. */
function redact(text: string): string {
  const at = text.lastIndexOf("@");
  return JSON.stringify(at < 0 ? text : `…${text.slice(at)}`);
}

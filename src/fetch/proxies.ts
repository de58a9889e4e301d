/** Which proxies the environment names. Whether one is used for a server is decided in dispatcher.ts. */
import { PsyncError, readAt } from "../core/errors.js";
import { parseServerUrl, type ServerUrl } from "./serverUrl.js";

export interface Proxies {
  /** For http servers. */
  readonly http: ServerUrl | undefined;
  /** For https servers. */
  readonly https: ServerUrl | undefined;
  /** Hosts that are asked without one, as NO_PROXY has them. */
  readonly noProxy: string;
}

/**
 * Reads http_proxy, https_proxy and no_proxy, in lower or upper case; the lower one wins. As undici does it, https
 * servers take the proxy of http ones where they have none of their own.
 *
 * @returns undefined where no proxy is named
 * @throws ERR_PSYNC_USAGE one is not an address; the message names the variable and has no credentials
 */
export function readProxies(environment: NodeJS.ProcessEnv): Proxies | undefined {
  const http = readProxy(environment, "http_proxy");
  const https = readProxy(environment, "https_proxy") ?? http;
  const noProxy = environment["no_proxy"] ?? environment["NO_PROXY"] ?? "";
  return http === undefined && https === undefined ? undefined : { http, https, noProxy };
}

function readProxy(environment: NodeJS.ProcessEnv, lowerName: string): ServerUrl | undefined {
  const name = environment[lowerName] === undefined ? lowerName.toUpperCase() : lowerName;
  const text = environment[name]?.trim() ?? "";
  if (text === "") return undefined;
  return readAt(name, () => {
    const url = parseServerUrl(text, "a proxy's address");
    if (url.basePath !== "/") {
      throw new PsyncError(
        "ERR_PSYNC_USAGE",
        `not a proxy's address: ${url.display}: it has a path`,
      );
    }
    return url;
  });
}

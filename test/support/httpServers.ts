/** Servers by their addresses, as a command makes them. */
import { systemClock } from "../../src/core/clock.js";
import { LIMITS, type LimitsOf } from "../../src/core/limits.js";
import { createHttpServer, type HttpServer } from "../../src/fetch/httpServer.js";
import { parseServer } from "../../src/fetch/serverSettings.js";

export function httpServers(
  urls: readonly string[],
  limits: Partial<LimitsOf<"fetch">> = {},
): HttpServer[] {
  return urls.map((url) =>
    createHttpServer(parseServer(url), {
      clock: systemClock,
      limits: { ...LIMITS.fetch, ...limits },
    }),
  );
}

/**
 * The connections to one server, as undici keeps them: straight, or through the proxy of the environment. Everything
 * that proxies need stands here. Its own bounds are added to undici's ProxyAgent, which waits for a proxy without end,
 * and asks again without end one that closes the connection.
 */
import { EnvHttpProxyAgent, Pool, type Dispatcher } from "undici";
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";
import { createConnector, type Connector } from "./connector.js";
import { formatDuration } from "../core/duration.js";
import { FailedConnection, failed, failureOf, proxyAuthenticationFailed } from "./outcome.js";
import type { ServerSettings } from "./serverSettings.js";
import type { ServerUrl } from "./serverUrl.js";

export interface ServerDispatcher {
  readonly dispatch: Dispatcher["dispatch"];
  /** The proxy that requests go through, without credentials, once it is known that they do. */
  proxyName(): string | undefined;
  /** Ends the connections that are not made yet, because nobody waits for them any more. */
  giveUpConnecting(): void;
  /** Closes every connection; what is under way fails. */
  destroy(): Promise<void>;
}

interface DispatcherParts {
  readonly clock: Clock;
  readonly limits: LimitsOf<"fetch">;
  /** Whether anybody waits for a connection. */
  readonly isWanted: () => boolean;
}

export function createDispatcher(server: ServerSettings, parts: DispatcherParts): ServerDispatcher {
  const { url, proxies } = server;
  const proxy = url.origin.startsWith("https:") ? proxies?.https : proxies?.http;
  const { clock, isWanted, limits } = parts;
  const { connectTimeoutMs } = limits;
  const direct = createConnector({ clock, connectTimeoutMs, isWanted, tls: server.tls() });
  if (proxy !== undefined) return throughProxy(server, proxy, direct, parts);
  const pool = new Pool(url.origin, poolOptions(direct.connect, limits));
  return {
    dispatch: (options, handler) => pool.dispatch(options, handler),
    proxyName: () => undefined,
    giveUpConnecting: () => {
      direct.giveUpConnecting();
    },
    async destroy() {
      const destroyed = pool.destroy();
      direct.destroy();
      await destroyed;
    },
  };
}

function poolOptions(
  connect: Connector["connect"],
  { connectionsPerServer, maxHeaderBytes }: LimitsOf<"fetch">,
): Pool.Options {
  return {
    connect,
    connections: connectionsPerServer,
    pipelining: 1,
    maxHeaderSize: maxHeaderBytes,
    // The exchange has its own timers, on the clock that was passed in.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
}

/** Through the proxy, or straight where NO_PROXY says so: undici's agent decides. */
function throughProxy(
  server: ServerSettings,
  proxy: ServerUrl,
  direct: Connector,
  { clock, limits, isWanted }: DispatcherParts,
): ServerDispatcher {
  const { connectTimeoutMs } = limits;
  const toProxy = createConnector({ clock, connectTimeoutMs, isWanted });
  const bounds: TunnelBounds = { clock, connectTimeoutMs, opening: new Set() };
  const authorization = proxy.authorization();
  // What http servers are asked goes over an http proxy as it is, so that the proxy can keep the blocks.
  const isTunnel = server.url.origin.startsWith("https:") || proxy.origin.startsWith("https:");
  let proxyName: string | undefined;

  const agent = new EnvHttpProxyAgent({
    // This agent is for one server, whose proxy is known: only NO_PROXY is left to it.
    httpProxy: proxy.origin,
    httpsProxy: proxy.origin,
    noProxy: server.proxies?.noProxy ?? "",
    ...(authorization === undefined ? {} : { token: authorization }),
    proxyTunnel: false,
    requestTls: { ...server.tls(), rejectUnauthorized: true, timeout: connectTimeoutMs },
    connect: direct.connect,
    clientFactory: () => new TunnelPool(proxy.origin, poolOptions(toProxy.connect, limits), bounds),
    factory: (origin, options) => {
      const { connect } = options as { readonly connect: Connector["connect"] };
      if (connect === direct.connect) return new Pool(origin, poolOptions(connect, limits));
      proxyName = proxy.display;
      return new Pool(origin, poolOptions(isTunnel ? connect : toProxy.connect, limits));
    },
  });

  const giveUpConnecting = (): void => {
    const reason = new FailedConnection(failed("reset", "the connection was given up"));
    for (const tunnel of bounds.opening) tunnel.abort(reason);
    direct.giveUpConnecting();
    toProxy.giveUpConnecting();
  };
  return {
    dispatch: (options, handler) =>
      agent.dispatch({ ...options, origin: server.url.origin }, handler),
    proxyName: () => proxyName,
    giveUpConnecting,
    async destroy() {
      const destroyed = agent.destroy();
      giveUpConnecting();
      direct.destroy();
      toProxy.destroy();
      await destroyed;
    },
  };
}

interface TunnelBounds {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  /** What ends those that are being opened. */
  readonly opening: Set<AbortController>;
}

/** The proxy as undici's ProxyAgent uses it: for CONNECT alone. A tunnel opens in time, or fails with its outcome. */
class TunnelPool extends Pool {
  readonly #bounds: TunnelBounds;

  constructor(origin: string, options: Pool.Options, bounds: TunnelBounds) {
    super(origin, options);
    this.#bounds = bounds;
  }

  override async connect(target: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> {
    const { clock, connectTimeoutMs, opening } = this.#bounds;
    const controller = new AbortController();
    opening.add(controller);
    const cancelTimer = clock.after(connectTimeoutMs, () => {
      const reason = `no tunnel in ${formatDuration(connectTimeoutMs)}`;
      controller.abort(new FailedConnection(failed("timeout", reason)));
    });
    try {
      const tunnel = await super.connect({ ...target, signal: controller.signal });
      if (tunnel.statusCode === 200) return tunnel;
      tunnel.socket.on("error", () => undefined).destroy();
      throw refusedTunnel(tunnel.statusCode);
    } catch (error) {
      // undici asks again and again where a socket failed; of these it hands the error to whoever waits.
      const failure = failureOf(error, false);
      throw error instanceof FailedConnection
        ? error
        : new FailedConnection({ ...failure, reason: `no tunnel: ${failure.reason}` });
    } finally {
      cancelTimer();
      opening.delete(controller);
    }
  }
}

function refusedTunnel(statusCode: number): FailedConnection {
  if (statusCode === 407) return new FailedConnection(proxyAuthenticationFailed());
  const reason = `no tunnel: the proxy answered ${statusCode}`;
  return new FailedConnection(failed("status", reason, statusCode >= 500));
}

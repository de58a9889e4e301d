/**
 * Opens the sockets to one server, and can let go of every one of them.
 * It exists because undici's own connector cannot give up a connection that is still being made.
 */
import net from "node:net";
import tls from "node:tls";
import type { buildConnector } from "undici";
import type { Clock } from "../core/clock.js";
import { formatDuration } from "../core/duration.js";
import type { TlsIdentity } from "./tlsIdentity.js";

export interface Connector {
  readonly connect: buildConnector.connector;
  /** Ends the connections that are not made yet, because nobody waits for them any more. */
  giveUpConnecting(): void;
  /** Ends all of them. */
  destroy(): void;
}

export function createConnector(options: {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  /** Whether anybody waits for a connection: undici opens a new one after it aborted a request, for nobody. */
  readonly isWanted: () => boolean;
  /** In place of the system's authorities, and without a certificate where undefined. */
  readonly tls?: TlsIdentity | undefined;
}): Connector {
  const { clock, connectTimeoutMs, isWanted } = options;
  // Made once: a context is costly, and its parts were checked when they were read.
  const secureContext = options.tls && tls.createSecureContext(options.tls);
  const connecting = new Set<net.Socket>();
  const connected = new Set<net.Socket>();

  const connect: buildConnector.connector = (target, callback) => {
    if (!isWanted()) {
      setImmediate(callback, givenUpError(), null);
      return;
    }
    const isTls = target.protocol === "https:";
    const socket = isTls ? openTls(target, secureContext) : openTcp(target);
    connecting.add(socket);

    let failure: Error | undefined;
    const cancelTimer = clock.after(connectTimeoutMs, () => {
      socket.destroy(timeoutError(connectTimeoutMs));
    });
    const onError = (error: Error): void => {
      failure = error;
    };
    const onClose = (): void => {
      cancelTimer();
      connecting.delete(socket);
      callback(failure ?? givenUpError(), null);
    };
    socket.once("error", onError).once("close", onClose);
    socket.once(isTls ? "secureConnect" : "connect", () => {
      cancelTimer();
      connecting.delete(socket);
      connected.add(socket);
      socket.off("error", onError).off("close", onClose);
      socket.once("close", () => connected.delete(socket));
      callback(null, socket);
    });
  };

  const destroyAll = (sockets: ReadonlySet<net.Socket>): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    connect,
    giveUpConnecting: () => {
      destroyAll(connecting);
    },
    destroy: () => {
      destroyAll(connecting);
      destroyAll(connected);
    },
  };
}

function openTcp({ hostname, port }: buildConnector.Options): net.Socket {
  return net.connect({ host: hostname, port: Number(port) || 80, noDelay: true, keepAlive: true });
}

/** Certificates are checked whatever NODE_TLS_REJECT_UNAUTHORIZED says. */
function openTls(
  { hostname, port }: buildConnector.Options,
  secureContext: tls.SecureContext | undefined,
): net.Socket {
  return tls
    .connect({
      host: hostname,
      port: Number(port) || 443,
      ...(net.isIP(hostname) === 0 ? { servername: hostname } : {}),
      ...(secureContext && { secureContext }),
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: true,
    })
    .setNoDelay(true);
}

function timeoutError(connectTimeoutMs: number): Error {
  return Object.assign(new Error(`no connection in ${formatDuration(connectTimeoutMs)}`), {
    code: "ETIMEDOUT",
  });
}

function givenUpError(): Error {
  return Object.assign(new Error("the connection was given up"), { code: "ECONNRESET" });
}

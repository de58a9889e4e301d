/** A server of blocks over TLS, which can ask for the client's certificate. */
import type { IncomingHttpHeaders } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { VerifiedBlock } from "../../src/block/verify.js";
import type { Certificates } from "./certificates.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";

export interface TlsServer {
  readonly url: string;
  readonly port: number;
  /** The headers of each request. */
  readonly requests: readonly IncomingHttpHeaders[];
  close(): Promise<void>;
}

export async function startTlsServer(
  blocks: readonly VerifiedBlock[],
  tls: ServerOptions,
): Promise<TlsServer> {
  const requests: IncomingHttpHeaders[] = [];
  const server = createServer(tls, (request, response) => {
    requests.push(request.headers);
    const block = blocks.find(({ hash }) => request.url === `/${hash}`);
    response.writeHead(block ? 200 : 404).end(block?.bytes);
  });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** One that gives nothing to a client without a certificate of the authority; it ends with the test. */
export async function startAskingServer(
  context: CleanUpContext,
  blocks: readonly VerifiedBlock[],
  { ca, server: { cert, key } }: Pick<Certificates, "ca" | "server">,
): Promise<TlsServer> {
  const tls = { cert, key, ca, requestCert: true, rejectUnauthorized: true };
  const server = await startTlsServer(blocks, tls);
  cleanUp(context, () => server.close());
  return server;
}

/** A server of blocks over TLS, which can ask for the client's certificate. */
import type { IncomingHttpHeaders } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import type { VerifiedBlock } from "../../src/block/verify.js";

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

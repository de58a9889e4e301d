/** A proxy on loopback: CONNECT, and GET of whole addresses. It can want a password, refuse, hang and talk nonsense. */
import { createServer, request as httpRequest, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";

/** `none`: it does what it should. */
export type ProxyFault =
  | "none"
  | "refuses"
  | "hangs"
  | "garbage"
  | "closes"
  | "unreachable"
  // These open a tunnel that leads nowhere.
  | "hangsInTunnel"
  | "garbageInTunnel"
  | "closesInTunnel";

export interface TestProxy {
  readonly url: string;
  /** `CONNECT host:port` or `GET http://…`, as they came. */
  readonly requests: readonly string[];
  /** The headers that came with them, by their names and values, one text each. */
  readonly heads: readonly string[];
  openConnections(): number;
  close(): Promise<void>;
}

export async function startProxy(
  options: { readonly fault?: ProxyFault; readonly authorization?: string } = {},
): Promise<TestProxy> {
  const { fault = "none", authorization } = options;
  const requests: string[] = [];
  const heads: string[] = [];
  const sockets = new Set<Socket>();

  const statusOf = (given: string | undefined): number | undefined => {
    if (authorization !== undefined && given !== authorization) return 407;
    if (fault === "refuses") return 403;
    return fault === "unreachable" ? 502 : undefined;
  };

  /** Whether the fault answers instead. */
  const misbehaves = (socket: Socket): boolean => {
    if (fault === "garbage") socket.write("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    if (fault === "closes") socket.end();
    return fault === "garbage" || fault === "closes" || fault === "hangs";
  };

  const server: Server = createServer((request, response) => {
    requests.push(`${request.method ?? ""} ${request.url ?? ""}`);
    heads.push(request.rawHeaders.join(" "));
    if (misbehaves(request.socket)) return;
    const status = statusOf(request.headers["proxy-authorization"]);
    if (status !== undefined) {
      response.writeHead(status).end("no");
      return;
    }
    const headers = { ...request.headers };
    delete headers["proxy-authorization"];
    const onward = httpRequest(request.url ?? "", { headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.writeHead(502).end());
    onward.end();
  });

  server.on("connect", (request, client: Socket, head: Buffer) => {
    requests.push(`CONNECT ${request.url ?? ""}`);
    heads.push(request.rawHeaders.join(" "));
    client.on("error", () => undefined);
    if (misbehaves(client)) {
      // Whoever does not read does not notice that the other side has gone.
      client.resume().on("end", () => client.destroy());
      return;
    }
    const status = statusOf(request.headers["proxy-authorization"]);
    if (status !== undefined) {
      client.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    if (fault !== "none") {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      if (fault === "garbageInTunnel") client.write("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
      if (fault === "closesInTunnel") client.end();
      client.resume().on("end", () => client.destroy());
      return;
    }
    const { hostname, port } = new URL(`http://${request.url ?? ""}`);
    const origin = connect(Number(port), hostname, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      origin.write(head);
      origin.pipe(client).pipe(origin);
    });
    origin.on("error", () => client.end("HTTP/1.1 502 Bad gateway\r\n\r\n"));
    client.on("close", () => origin.destroy());
    origin.on("close", () => client.destroy());
  });

  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    heads,
    openConnections: () => sockets.size,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

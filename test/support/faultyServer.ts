/**
 * A server of blocks that lies: raw sockets, since an HTTP library would not write most of it.
 * What it does is decided by its seed and the order of requests alone. How each lie looks: faults.ts.
 */
import { createServer, type Socket } from "node:net";
import type { BlockHash } from "../../src/block/hash.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { createDice } from "./blocks.js";
import { FAULTS, type FaultName } from "./faults.js";

export interface FaultyServerOptions {
  readonly blocks: readonly VerifiedBlock[];
  readonly seed: string | number;
  /** The fault of a request: always this one, or chosen for the block and its n-th request (from 1). */
  readonly fault: FaultName | ((hash: string, nth: number) => FaultName);
  /** Where redirectToHonest leads. */
  readonly honestUrl?: string;
  /** Sent to every new connection, before anything was asked. */
  readonly greeting?: string;
  /** 0, the default, takes a free one. */
  readonly port?: number;
}

export interface FaultyServer {
  readonly url: string;
  readonly port: number;
  /** How often a block was asked for; all blocks together where none is named. */
  requestCount(hash?: BlockHash): number;
  /** The heads of the requests, as they came. */
  requestHeads(): readonly string[];
  /** Bytes handed to the connections. */
  bytesSent(): number;
  openConnections(): number;
  mostConnections(): number;
  /** Stops to listen and cuts every connection: from then on it refuses. */
  close(): Promise<void>;
}

export async function startFaultyServer(options: FaultyServerOptions): Promise<FaultyServer> {
  const { seed, fault, honestUrl = "http://127.0.0.1:1" } = options;
  const dice = createDice(seed);
  const bytesOf = new Map<string, Buffer>(
    options.blocks.map(({ hash, bytes }) => [hash, Buffer.from(bytes)]),
  );
  const requestCounts = new Map<string, number>();
  const heads: string[] = [];
  const sockets = new Set<Socket>();
  let bytesSent = 0;
  let mostConnections = 0;

  const answer = (socket: Socket, head: string): void => {
    heads.push(head);
    const target = head.split(" ")[1] ?? "/";
    const hash = target.slice(target.lastIndexOf("/") + 1);
    const nth = (requestCounts.get(hash) ?? 0) + 1;
    requestCounts.set(hash, nth);
    const bytes = bytesOf.get(hash);
    const otherBytes = [...bytesOf].find(([other]) => other !== hash)?.[1] ?? Buffer.from("other");
    const chosen = typeof fault === "string" ? fault : fault(hash, nth);
    const every = (delayMs: number, callback: () => void): void => {
      const timer = setInterval(() => {
        // What the other side does not take is not piled up.
        if (socket.writable && socket.writableLength < 1e6) callback();
      }, delayMs);
      socket.once("close", () => {
        clearInterval(timer);
      });
    };
    const request = { socket, target, otherBytes, honestUrl, dice, every };
    if (bytes) FAULTS[chosen]({ ...request, bytes });
    else FAULTS.status404({ ...request, bytes: Buffer.alloc(0) });
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    mostConnections = Math.max(mostConnections, sockets.size);
    socket.once("close", () => {
      sockets.delete(socket);
      bytesSent += socket.bytesWritten;
    });
    // A connection that the client cuts is what many of the tests want.
    socket.on("error", () => undefined);
    if (options.greeting !== undefined) socket.write(options.greeting);
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      for (let end = received.indexOf("\r\n\r\n"); end >= 0; end = received.indexOf("\r\n\r\n")) {
        const head = received.slice(0, end);
        received = received.slice(end + 4);
        answer(socket, head);
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    requestCount: (hash) => (hash === undefined ? heads.length : (requestCounts.get(hash) ?? 0)),
    requestHeads: () => heads,
    bytesSent: () => [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, bytesSent),
    openConnections: () => sockets.size,
    mostConnections: () => mostConnections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** The URL of a port where nothing listens. */
export async function refusingUrl(): Promise<string> {
  const server = await startFaultyServer({ blocks: [], seed: 0, fault: "none" });
  await server.close();
  return server.url;
}

/**
 * A TCP proxy that is a long or thin line: what goes through it comes later, and not faster than the line is.
 * It knows no protocol. Where it limits the rate, it does so by delay, so that TCP slows the sender down.
 */
import net from "node:net";

export interface LineOptions {
  /** Where connections go to. */
  readonly target: { readonly host: string; readonly port: number };
  /** Round trip: half of it each way. */
  readonly roundTripMs?: number;
  /** Of all connections together, towards the client. */
  readonly bytesPerSecond?: number;
  /** Of each connection, towards the client. */
  readonly connectionBytesPerSecond?: number;
}

export interface SlowLine {
  readonly port: number;
  readonly url: string;
  /** Ends every connection and listens no more. */
  close(): Promise<void>;
}

/** A connection holds at most this much on its way, as a wide TCP window would. */
const ON_THE_WAY_BYTES = 4 << 20;

export async function startSlowLine(options: LineOptions): Promise<SlowLine> {
  const { target, roundTripMs = 0, bytesPerSecond, connectionBytesPerSecond } = options;
  const shared = createRate(bytesPerSecond);
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect({ ...target, noDelay: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        sockets.delete(socket);
      });
    }
    client.setNoDelay(true);
    const own = createRate(connectionBytesPerSecond);
    carry(client, upstream, () => Date.now() + roundTripMs / 2);
    carry(upstream, client, (bytes) => Math.max(shared(bytes), own(bytes)) + roundTripMs / 2);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** When bytes that are given to the line now have passed it, in ms since 1970. */
function createRate(bytesPerSecond: number | undefined): (bytes: number) => number {
  let freeMs = 0;
  return (bytes) => {
    if (bytesPerSecond === undefined) return Date.now();
    freeMs = Math.max(freeMs, Date.now()) + (bytes * 1000) / bytesPerSecond;
    return freeMs;
  };
}

/** Hands on what comes when it is due, in order. */
function carry(from: net.Socket, to: net.Socket, dueAtMs: (bytes: number) => number): void {
  const waiting: { readonly chunk: Buffer | undefined; readonly dueMs: number }[] = [];
  let waitingBytes = 0;
  let timer: NodeJS.Timeout | undefined;

  const deliver = (): void => {
    timer = undefined;
    for (let next = waiting[0]; next && next.dueMs <= Date.now(); next = waiting[0]) {
      waiting.shift();
      if (next.chunk) {
        waitingBytes -= next.chunk.length;
        to.write(next.chunk);
      } else to.end();
    }
    const [first] = waiting;
    if (first) timer = setTimeout(deliver, Math.max(1, first.dueMs - Date.now()));
    if (to.writableLength + waitingBytes < ON_THE_WAY_BYTES) from.resume();
  };
  const put = (chunk: Buffer | undefined): void => {
    waiting.push({ chunk, dueMs: dueAtMs(chunk?.length ?? 0) });
    waitingBytes += chunk?.length ?? 0;
    if (to.writableLength + waitingBytes >= ON_THE_WAY_BYTES) from.pause();
    timer ??= setTimeout(deliver, Math.max(0, (waiting[0]?.dueMs ?? 0) - Date.now()));
  };
  from.on("data", put);
  from.once("end", () => {
    put(undefined);
  });
  from.once("close", () => {
    if (from.errored) to.destroy();
  });
  to.on("drain", deliver);
  to.once("close", () => {
    clearTimeout(timer);
    waiting.length = 0;
    from.destroy();
  });
}

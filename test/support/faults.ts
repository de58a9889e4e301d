/** The ways in which a server can lie, and what each writes to the connection. */
import { gzipSync } from "node:zlib";
import type { Socket } from "node:net";
import type { Dice } from "./blocks.js";

/** What a fault answers to. */
export interface FaultyRequest {
  readonly socket: Socket;
  /** The bytes that an honest server would send. */
  readonly bytes: Buffer;
  /** The path that was asked for. */
  readonly target: string;
  /** The bytes of another block of the server. */
  readonly otherBytes: Buffer;
  /** Where a redirect to an honest server leads: its URL, no slash at the end. */
  readonly honestUrl: string;
  readonly dice: Dice;
  /** Calls back every `delayMs` for as long as the connection is open. */
  readonly every: (delayMs: number, callback: () => void) => void;
}

type Fault = (request: FaultyRequest) => void;

const OK = "HTTP/1.1 200 OK\r\n";

function headed(length: number | string, body: Uint8Array, more = ""): Buffer {
  return Buffer.concat([Buffer.from(`${OK}content-length: ${length}\r\n${more}\r\n`), body]);
}

function statusLine(status: string, headers = ""): Fault {
  return ({ socket }) => {
    socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 2\r\n${headers}\r\nno`);
  };
}

function chunked(body: Uint8Array): Buffer {
  const size = Buffer.from(`${body.length.toString(16)}\r\n`);
  return Buffer.concat([size, body, Buffer.from("\r\n")]);
}

function flipBit(bytes: Buffer, dice: Dice): Buffer {
  const copy = Buffer.from(bytes);
  const at = dice.roll(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << dice.roll(8));
  return copy;
}

/** A part that is not the whole. */
function cut(bytes: Buffer, dice: Dice): Buffer {
  return bytes.subarray(0, dice.roll(bytes.length));
}

/** Complete answers with bytes that are not the block: lies, which ban a server. */
export const LIES = {
  wrongBytes: ({ socket, bytes, dice }) => {
    socket.write(headed(bytes.length, Buffer.alloc(bytes.length, dice.roll(256))));
  },
  flippedBit: ({ socket, bytes, dice }) => {
    socket.write(headed(bytes.length, flipBit(bytes, dice)));
  },
  otherBlock: ({ socket, otherBytes }) => {
    socket.write(headed(otherBytes.length, otherBytes));
  },
  shortWithMatchingLength: ({ socket, bytes, dice }) => {
    const part = cut(bytes, dice);
    socket.write(headed(part.length, part));
  },
  emptyBody: ({ socket }) => {
    socket.write(headed(0, Buffer.alloc(0)));
  },
  wrongChunked: ({ socket, bytes, dice }) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
    socket.write(Buffer.concat([chunked(flipBit(bytes, dice)), Buffer.from("0\r\n\r\n")]));
  },
} as const satisfies Record<string, Fault>;

/** Failures that may pass: worth asking the same server again a moment later. */
export const TRANSIENT_FAULTS = {
  shortWithWrongLength: ({ socket, bytes, dice }) => {
    socket.end(headed(bytes.length, cut(bytes, dice)));
  },
  shortWithoutLength: ({ socket, bytes, dice }) => {
    socket.end(Buffer.concat([Buffer.from(`${OK}\r\n`), cut(bytes, dice)]));
  },
  shortChunked: ({ socket, bytes }) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
    socket.end(chunked(bytes.subarray(0, 10)));
  },
  shortChunkedAndClosed: ({ socket, bytes }) => {
    socket.write(`${OK}connection: close\r\ntransfer-encoding: chunked\r\n\r\n`);
    socket.end(chunked(bytes.subarray(0, 10)));
  },
  resetWithoutLength: ({ socket, bytes, dice }) => {
    socket.write(`${OK}\r\n`);
    socket.write(cut(bytes, dice), () => socket.resetAndDestroy());
  },
  stalledBeforeHeaders: () => undefined,
  stalledInHeaders: ({ socket }) => {
    socket.write(`${OK}content-le`);
  },
  endlessHeaders: ({ socket, every }) => {
    socket.write(OK);
    every(10, () => socket.write("x: y\r\n"));
  },
  endlessInterim: ({ socket, every }) => {
    every(10, () => socket.write("HTTP/1.1 103 Early Hints\r\n\r\n"));
  },
  stalledInBody: ({ socket, bytes }) => {
    socket.write(headed(bytes.length, bytes.subarray(0, 100)));
  },
  slowDrip: ({ socket, bytes, every }) => {
    let sent = 0;
    socket.write(headed(bytes.length, bytes.subarray(0, 0)));
    every(20, () => socket.write(bytes.subarray(sent, ++sent)));
  },
  resetBeforeHeaders: ({ socket }) => {
    socket.resetAndDestroy();
  },
  closedWithoutAnswer: ({ socket }) => {
    socket.end();
  },
  resetAfterHeaders: ({ socket, bytes }) => {
    socket.write(headed(bytes.length, bytes.subarray(0, 0)), () => socket.resetAndDestroy());
  },
  resetInBody: ({ socket, bytes, dice }) => {
    socket.write(headed(bytes.length, cut(bytes, dice)), () => socket.resetAndDestroy());
  },
  status500: statusLine("500 Internal Server Error"),
  status503: statusLine("503 Service Unavailable", "retry-after: 3600\r\n"),
  status429: statusLine("429 Too Many Requests"),
} as const satisfies Record<string, Fault>;

/** Failures that another try does not mend. */
export const LASTING_FAULTS = {
  status404: statusLine("404 Not Found"),
  status404WithEndlessBody: ({ socket, every }) => {
    socket.write("HTTP/1.1 404 Not Found\r\n\r\n");
    every(1, () => socket.write(Buffer.alloc(8192)));
  },
  status403: statusLine("403 Forbidden"),
  status401: statusLine("401 Unauthorized", 'www-authenticate: Basic realm="x"\r\n'),
  status508: statusLine("508 Loop Detected"),
  status204: ({ socket }) => {
    socket.write("HTTP/1.1 204 No Content\r\n\r\n");
  },
  status206: ({ socket, bytes }) => {
    socket.write(
      `HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-${bytes.length - 1}/${bytes.length}\r\n`,
    );
    socket.write(`content-length: ${bytes.length}\r\n\r\n`);
    socket.write(bytes);
  },
  redirectToItself: ({ socket, target }) => {
    socket.write(`HTTP/1.1 302 Found\r\nlocation: ${target}\r\ncontent-length: 0\r\n\r\n`);
  },
  redirectToHonest: ({ socket, target, honestUrl }) => {
    const location = `${honestUrl}${target}`;
    socket.write(`HTTP/1.1 307 Moved\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`);
  },
  gzip: ({ socket, bytes }) => {
    const packed = gzipSync(bytes);
    socket.write(headed(packed.length, packed, "content-encoding: gzip\r\n"));
  },
  gzipTransfer: ({ socket, bytes }) => {
    socket.write(`${OK}transfer-encoding: gzip, chunked\r\n\r\n`);
    socket.write(Buffer.concat([chunked(gzipSync(bytes)), Buffer.from("0\r\n\r\n")]));
  },
  long: ({ socket, bytes }) => {
    socket.write(headed(bytes.length + 64 * 1024, Buffer.concat([bytes, Buffer.alloc(65_536)])));
  },
  longWithoutLength: ({ socket, bytes }) => {
    socket.end(Buffer.concat([Buffer.from(`${OK}\r\n`), bytes, Buffer.alloc(65_536)]));
  },
  endless: ({ socket, every }) => {
    socket.write(`${OK}\r\n`);
    every(1, () => socket.write(Buffer.alloc(8192, 7)));
  },
  endlessChunked: ({ socket, every }) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
    every(1, () => socket.write(chunked(Buffer.alloc(8192, 7))));
  },
  negativeLength: ({ socket, bytes }) => {
    socket.write(headed(-1, bytes));
  },
  absurdLength: ({ socket, bytes }) => {
    socket.write(headed("9".repeat(30), bytes));
  },
  hugeLength: ({ socket, bytes }) => {
    socket.write(headed(2 ** 50, bytes));
  },
  twoLengths: ({ socket, bytes }) => {
    socket.write(headed(bytes.length, bytes, "content-length: 7\r\n"));
  },
  garbage: ({ socket }) => {
    socket.write("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
  },
  bareBytes: ({ socket, bytes }) => {
    socket.write(bytes);
  },
  badChunked: ({ socket }) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\nzz\r\nno\r\n`);
  },
  enormousHeaders: ({ socket, bytes }) => {
    socket.write(headed(bytes.length, bytes, `x-padding: ${"p".repeat(1_000_000)}\r\n`));
  },
} as const satisfies Record<string, Fault>;

/** Unusual, and right all the same. */
export const HARMLESS = {
  none: ({ socket, bytes }) => {
    socket.write(headed(bytes.length, bytes));
  },
  withoutLength: ({ socket, bytes }) => {
    socket.end(Buffer.concat([Buffer.from(`${OK}\r\n`), bytes]));
  },
  http10: ({ socket, bytes }) => {
    socket.end(Buffer.concat([Buffer.from("HTTP/1.0 200 OK\r\n\r\n"), bytes]));
  },
  chunked: ({ socket, bytes }) => {
    socket.write(`${OK}transfer-encoding: chunked\r\n\r\n`);
    for (const part of [bytes.subarray(0, 10), bytes.subarray(10)]) socket.write(chunked(part));
    socket.write("0\r\n\r\n");
  },
  identity: ({ socket, bytes }) => {
    socket.write(headed(bytes.length, bytes, "content-encoding: identity\r\n"));
  },
  interimFirst: ({ socket, bytes }) => {
    socket.write("HTTP/1.1 103 Early Hints\r\n\r\n");
    socket.write(headed(bytes.length, bytes));
  },
} as const satisfies Record<string, Fault>;

export const FAULTS: Readonly<Record<FaultName, Fault>> = {
  ...LIES,
  ...TRANSIENT_FAULTS,
  ...LASTING_FAULTS,
  ...HARMLESS,
};

export type FaultName =
  | keyof typeof LIES
  | keyof typeof TRANSIENT_FAULTS
  | keyof typeof LASTING_FAULTS
  | keyof typeof HARMLESS;

/** The names of one group, typed. */
export function namesOf<Name extends FaultName>(group: Readonly<Record<Name, Fault>>): Name[] {
  return Object.keys(group) as Name[];
}

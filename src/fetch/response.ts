/**
 * The two halves of an HTTP response as psync accepts them: the head is judged, the body is collected.
 * Pure of I/O; what to do with the connection is for the exchange.
 * Source: docs/protocol.md, "What a client accepts".
 */
import { failed, type FetchOutcome } from "./outcome.js";

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a head announces: a body that may be the block, or the outcome already. */
export type JudgedHead =
  { readonly type: "body"; readonly body: BlockBody } | Exclude<FetchOutcome, { type: "bytes" }>;

/** Judges status and headers. Costs the memory of the announced length, which is at most `maxBytes`. */
export function judgeHead(
  statusCode: number,
  headers: ResponseHeaders,
  maxBytes: number,
): JudgedHead {
  if (statusCode === 404) return { type: "notFound" };
  if (statusCode >= 300 && statusCode < 400) {
    return failed("redirect", `${statusCode}, a redirect: not followed`);
  }
  // RFC 5842, section 7.2: the server came upon itself in `via`. It says nothing of the server or the block.
  if (statusCode === 508) return failed("loop", "508: asked in a circle");
  // RFC 9110, section 15.6.5: those that it asked did not give it the block in time.
  if (statusCode === 504) return failed("elsewhere", "504: it could not get the block just now");
  if (statusCode !== 200) {
    const transient = statusCode >= 500 || statusCode === 408 || statusCode === 429;
    const hint = statusCode === 401 ? ": it wants a name and password, or a header" : "";
    return failed("status", `status ${statusCode}${hint}`, transient);
  }
  const contentEncoding = headerText(headers, "content-encoding");
  if (contentEncoding !== "" && contentEncoding !== "identity") {
    return failed("encoding", "the block came encoded, though it was asked for as it is");
  }
  const transferEncoding = headerText(headers, "transfer-encoding");
  if (transferEncoding !== "" && transferEncoding !== "chunked") {
    return failed("encoding", "the block came with an unknown transfer encoding");
  }
  const lengthText = headerText(headers, "content-length");
  const lengthBytes = lengthText === "" ? undefined : Number(lengthText);
  if (lengthBytes !== undefined && !(lengthBytes <= maxBytes)) {
    return failed("tooLong", `${lengthText} bytes announced, at most ${maxBytes} expected`);
  }
  const endMarked = lengthBytes !== undefined || transferEncoding === "chunked";
  return { type: "body", body: createBlockBody({ lengthBytes, maxBytes, endMarked }) };
}

function headerText(headers: ResponseHeaders, name: string): string {
  const value = headers[name];
  return (Array.isArray(value) ? value.join(", ") : (value ?? "")).trim().toLowerCase();
}

export interface BlockBody {
  /** Takes bytes; false as soon as there are more than there can be. */
  push(chunk: Uint8Array): boolean;
  /** How many came so far. */
  receivedBytes(): number;
  /** What came of it, once the body has ended. */
  finish(): FetchOutcome;
}

function createBlockBody(options: {
  readonly lengthBytes: number | undefined;
  readonly maxBytes: number;
  readonly endMarked: boolean;
}): BlockBody {
  const { lengthBytes, maxBytes, endMarked } = options;
  const whole = lengthBytes === undefined ? undefined : Buffer.allocUnsafeSlow(lengthBytes);
  const chunks: Uint8Array[] = [];
  let received = 0;
  return {
    push(chunk) {
      if (received + chunk.length > (lengthBytes ?? maxBytes)) return false;
      if (whole) whole.set(chunk, received);
      else chunks.push(chunk);
      received += chunk.length;
      return true;
    },
    receivedBytes: () => received,
    finish() {
      if (lengthBytes !== undefined && received < lengthBytes) {
        return failed("truncated", `${received} of ${lengthBytes} bytes came`);
      }
      return { type: "bytes", bytes: whole ?? Buffer.concat(chunks, received), endMarked };
    },
  };
}

/** What can come of asking one server for one block, and what each way to fail is called. */
import { errorMessage, systemErrorCode } from "../core/errors.js";
import { oneLine } from "../core/log.js";

export type FailureKind =
  | "refused"
  | "unreachable"
  | "unknownHost"
  | "tls"
  | "timeout"
  | "slow"
  | "reset"
  | "truncated"
  | "tooLong"
  | "status"
  | "redirect"
  | "encoding"
  | "protocol"
  | "loop"
  | "elsewhere"
  | "closed";

export interface FetchFailure {
  readonly type: "failed";
  readonly kind: FailureKind;
  /** For people, without the server's name: "no answer in 10 s". */
  readonly reason: string;
  /** Whether the same server may well answer a moment later: it is restarting, or the network is. */
  readonly transient: boolean;
}

export type FetchOutcome =
  | {
      readonly type: "bytes";
      readonly bytes: Uint8Array;
      /** False where only the end of the connection marked the end: it may have been cut short. */
      readonly endMarked: boolean;
    }
  | { readonly type: "notFound" }
  | FetchFailure;

const TRANSIENT: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "refused",
  "unreachable",
  "timeout",
  "slow",
  "reset",
  "truncated",
  "elsewhere",
]);

/** A failure; where nothing else is said, its kind tells whether it is transient. */
export function failed(
  kind: FailureKind,
  reason: string,
  transient = TRANSIENT.has(kind),
): FetchFailure {
  return { type: "failed", kind, reason, transient };
}

const TLS_CODE =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|CRL_|DEPTH_ZERO|UNABLE_TO|SELF_SIGNED|INVALID_(CA|PURPOSE)|PATH_LENGTH|HOSTNAME_|EPROTO)/;

/** An error that knows its outcome already. */
export class FailedConnection extends Error {
  readonly failure: FetchFailure;

  constructor(failure: FetchFailure) {
    super(failure.reason);
    this.failure = failure;
  }
}

/** Sorts what undici or the system reports. `answered`: the response's head had come. */
export function failureOf(error: unknown, answered: boolean): FetchFailure {
  if (error instanceof FailedConnection) return error.failure;
  const code = systemErrorCode(error) ?? "";
  switch (code) {
    case "ECONNREFUSED":
      return failed("refused", "connection refused");
    case "ENOTFOUND":
      return failed("unknownHost", "unknown host");
    case "EAI_AGAIN":
      return failed("unknownHost", "the name server does not answer", true);
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ENETDOWN":
    case "EADDRNOTAVAIL":
      return failed("unreachable", `unreachable (${code})`);
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
      return failed("timeout", "connection timed out");
    case "ECONNRESET":
    case "EPIPE":
      return failed("reset", "connection reset");
    case "UND_ERR_SOCKET":
      return answered
        ? failed("truncated", "connection closed before the end of the block")
        : failed("reset", "connection closed without an answer");
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
      // undici says so too of a head whose length makes no sense.
      return answered
        ? failed("truncated", "connection closed before the end of the block")
        : failed("protocol", "not an HTTP answer: the content length makes no sense");
    case "UND_ERR_HEADERS_OVERFLOW":
      return failed("protocol", "headers too large");
    case "UND_ERR_DESTROYED":
    case "UND_ERR_CLOSED":
      return failed("closed", "not asked: shutting down");
    default:
      return failureWithoutCode(code, oneLine(errorMessage(error)));
  }
}

function failureWithoutCode(code: string, message: string): FetchFailure {
  if (/wrong version number|WRONG_VERSION_NUMBER/.test(message + code)) {
    return failed("tls", "TLS failed: the server does not speak it there; is it http://?");
  }
  if (TLS_CODE.test(code)) return failed("tls", `TLS failed: ${message}`);
  // undici's way to say what a proxy answered.
  if (code === "UND_ERR_INVALID_ARG" && message.includes("(407)"))
    return proxyAuthenticationFailed();
  // undici's parser errors have no code; this one is a chunked body that ended too early.
  if (message.includes("Invalid EOF state")) {
    return failed("truncated", "connection closed before the end of the block");
  }
  return failed("protocol", `not an HTTP answer: ${message}`);
}

/** Status 407, which only a proxy gives. */
export function proxyAuthenticationFailed(): FetchFailure {
  return failed("status", "the proxy wants another name and password (407)");
}

/** A server on a given clock, without sockets: it answers as told, as fast as told. */
import { abortReason } from "../../src/core/abort.js";
import type { BlockRequest } from "../../src/block/ports.js";
import type { Clock } from "../../src/core/clock.js";
import type { HttpServer } from "../../src/fetch/httpServer.js";
import { failed, type FetchOutcome } from "../../src/fetch/outcome.js";

export interface PacedAnswer {
  readonly bytes: Uint8Array;
  readonly bytesPerSecond: number;
  /** Breaks off after these; undefined: it is whole. */
  readonly breaksAtBytes?: number | undefined;
}

const HEAD_MS = 20;
const TICK_MS = 20;

export function createPacedServer(options: {
  readonly name: string;
  readonly clock: Clock;
  /** Undefined: 404. */
  readonly answer: (request: BlockRequest) => PacedAnswer | undefined;
  /** Told of all bytes that left, whoever wants them still. */
  readonly onSent?: (sizeBytes: number) => void;
}): HttpServer & { readonly askedAtMs: readonly number[] } {
  const { name, clock, answer, onSent } = options;
  const askedAtMs: number[] = [];
  return {
    name,
    askedAtMs,
    close: () => Promise.resolve(),
    fetchBytes: (request, onReceived) =>
      new Promise<FetchOutcome>((resolve, reject) => {
        const { signal } = request;
        let cancelTimer = (): void => undefined;
        const onAbort = (): void => {
          cancelTimer();
          reject(abortReason(signal));
        };
        if (signal.aborted) {
          onAbort();
          return;
        }
        signal.addEventListener("abort", onAbort, { once: true });
        const settle = (outcome: FetchOutcome): void => {
          signal.removeEventListener("abort", onAbort);
          resolve(outcome);
        };
        askedAtMs.push(clock.nowMs());
        const given = answer(request);
        let sentBytes = 0;
        const send = (): void => {
          if (!given) {
            settle({ type: "notFound" });
            return;
          }
          const { bytes, bytesPerSecond, breaksAtBytes = Infinity } = given;
          const endBytes = Math.min(bytes.length, breaksAtBytes);
          const nextBytes = Math.min(endBytes, sentBytes + (bytesPerSecond * TICK_MS) / 1000);
          onSent?.(nextBytes - sentBytes);
          sentBytes = nextBytes;
          onReceived?.(sentBytes);
          if (sentBytes < endBytes) cancelTimer = clock.after(TICK_MS, send);
          else if (endBytes < bytes.length) settle(failed("reset", "it broke off"));
          else settle({ type: "bytes", bytes, endMarked: true });
        };
        cancelTimer = clock.after(HEAD_MS, () => {
          if (given) onReceived?.(0);
          send();
        });
      }),
  };
}

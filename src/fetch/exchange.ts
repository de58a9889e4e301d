/**
 * One request to one server, as undici's dispatcher drives it: its timers, and what it comes to.
 * It does not know which server that is, nor what the bytes should hash to.
 */
import type { Dispatcher } from "undici";
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";
import { formatDuration } from "../core/duration.js";
import { failed, failureOf, type FetchOutcome } from "./outcome.js";
import { judgeHead, type BlockBody, type ResponseHeaders } from "./response.js";

export interface ExchangeOptions {
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly limits: LimitsOf<"fetch">;
  readonly onReceived: (receivedBytes: number) => void;
  /** Called once, unless the exchange was abandoned before. */
  readonly onOutcome: (outcome: FetchOutcome) => void;
}

export class Exchange implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions;
  #controller: Dispatcher.DispatchController | undefined;
  #cancelTimer: () => void = () => undefined;
  #body: BlockBody | undefined;
  #over = false;
  #passedOverBytes = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** Ends it without an outcome; its connection is closed where the request was sent already. */
  abandon(): void {
    this.#over = true;
    this.#hangUp();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) {
      this.#hangUp();
      return;
    }
    const { headersTimeoutMs } = this.#options.limits;
    this.#startTimer(headersTimeoutMs, () => {
      this.#fail("timeout", `no answer in ${formatDuration(headersTimeoutMs)}`);
    });
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: ResponseHeaders,
  ): void {
    // Interim answers do not count, and do not stop the timer.
    if (this.#over || statusCode < 200) return;
    const head = judgeHead(statusCode, headers, this.#options.maxBytes);
    if (head.type === "body") {
      this.#body = head.body;
      this.#watchSpeed(head.body);
      this.#options.onReceived(0);
      return;
    }
    this.#settle(head);
    if (statusCode === 200) {
      this.#hangUp();
      return;
    }
    this.#startTimer(this.#options.limits.passedOverBodyMs, () => {
      this.#hangUp();
    });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) {
      this.#passedOverBytes += chunk.length;
      if (this.#passedOverBytes > this.#options.limits.passedOverBodyBytes) this.#hangUp();
    } else if (this.#body?.push(chunk) === false) {
      this.#fail("tooLong", `more than ${this.#options.maxBytes} bytes`);
    } else if (this.#body) {
      this.#options.onReceived(this.#body.receivedBytes());
    }
  }

  onResponseEnd(): void {
    this.#cancelTimer();
    if (this.#body) this.#settle(this.#body.finish());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#cancelTimer();
    this.#settle(failureOf(error, this.#body !== undefined));
  }

  /** Looks once a window at what came in it. */
  #watchSpeed(body: BlockBody): void {
    const { slowWindowMs, slowBytesPerSecond } = this.#options.limits;
    const before = body.receivedBytes();
    this.#startTimer(slowWindowMs, () => {
      const windowBytes = body.receivedBytes() - before;
      if (windowBytes * 1000 < slowBytesPerSecond * slowWindowMs) {
        this.#fail("slow", `only ${windowBytes} bytes in ${formatDuration(slowWindowMs)}`);
      } else {
        this.#watchSpeed(body);
      }
    });
  }

  #fail(kind: "timeout" | "slow" | "tooLong", reason: string): void {
    this.#settle(failed(kind, reason));
    this.#hangUp();
  }

  #settle(outcome: FetchOutcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#options.onOutcome(outcome);
  }

  #hangUp(): void {
    this.#cancelTimer();
    // undici closes the connection of a request that is aborted under way.
    this.#controller?.abort(new Error("given up"));
  }

  #startTimer(delayMs: number, callback: () => void): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.after(delayMs, callback);
  }
}

/**
 * One request to one server, as undici's dispatcher drives it: its timers, and what it comes to.
 * It does not know which server that is, nor what the bytes should hash to.
 */
import type { Dispatcher } from "undici";
import type { Clock } from "../core/clock.js";
import type { LimitsOf } from "../core/limits.js";
import { formatDuration } from "../core/duration.js";
import type { RateLimiter } from "../core/rateLimiter.js";
import type { Urgency } from "../core/urgency.js";
import { failed, failureOf, type FetchOutcome } from "./outcome.js";
import { judgeHead, type BlockBody, type ResponseHeaders } from "./response.js";
import { createSpeedWatch, type SpeedWatch } from "./speedWatch.js";

export interface ExchangeOptions {
  readonly maxBytes: number;
  readonly clock: Clock;
  readonly limits: LimitsOf<"fetch">;
  /** Undefined: the body comes as fast as it can. */
  readonly rateLimiter: RateLimiter | undefined;
  readonly urgency: Urgency | undefined;
  readonly onReceived: (receivedBytes: number) => void;
  /** Called once, unless the exchange was abandoned before. */
  readonly onOutcome: (outcome: FetchOutcome) => void;
}

export class Exchange implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions;
  #controller: Dispatcher.DispatchController | undefined;
  #cancelTimer: () => void = () => undefined;
  #body: BlockBody | undefined;
  #speedWatch: SpeedWatch | undefined;
  #over = false;
  /** Aborted when it is over: nobody waits to pay any more. */
  readonly #ended = new AbortController();
  #passedOverBytes = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** Ends it without an outcome; its connection is closed where the request was sent already. */
  abandon(): void {
    this.#end();
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
      this.#cancelTimer();
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

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#over) {
      this.#passedOverBytes += chunk.length;
      if (this.#passedOverBytes > this.#options.limits.passedOverBodyBytes) this.#hangUp();
    } else if (this.#body?.push(chunk) === false) {
      this.#fail("tooLong", `more than ${this.#options.maxBytes} bytes`);
    } else if (this.#body) {
      this.#options.onReceived(this.#body.receivedBytes());
    }
    this.#pay(controller, chunk.length);
  }

  onResponseEnd(): void {
    this.#cancelTimer();
    if (this.#body) this.#settle(this.#body.finish());
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#cancelTimer();
    this.#settle(failureOf(error, this.#body !== undefined));
  }

  /** Takes no more before these bytes are paid for: the connection fills, and TCP slows the sender down. */
  #pay(controller: Dispatcher.DispatchController, sizeBytes: number): void {
    const { rateLimiter, urgency } = this.#options;
    const paid = rateLimiter?.pay(sizeBytes, { signal: this.#ended.signal, urgency });
    if (paid === undefined) return;
    const goOn = (): void => {
      if (this.#over) return;
      this.#speedWatch?.goOn();
      controller.resume();
    };
    // It fails only where the exchange is over, and then nothing is to go on.
    paid.then(goOn, () => undefined);
    if (this.#over) return;
    controller.pause();
    this.#speedWatch?.hold();
  }

  #watchSpeed(body: BlockBody): void {
    const { clock, limits } = this.#options;
    this.#speedWatch = createSpeedWatch({
      clock,
      limits,
      receivedBytes: () => body.receivedBytes(),
      onSlow: (windowBytes) => {
        const window = formatDuration(limits.slowWindowMs);
        this.#fail("slow", `only ${windowBytes} bytes in ${window}`);
      },
    });
  }

  #fail(kind: "timeout" | "slow" | "tooLong", reason: string): void {
    this.#settle(failed(kind, reason));
    this.#hangUp();
  }

  #settle(outcome: FetchOutcome): void {
    if (this.#over) return;
    this.#end();
    this.#options.onOutcome(outcome);
  }

  #end(): void {
    this.#over = true;
    this.#cancelTimer();
    this.#speedWatch?.end();
    this.#ended.abort();
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

/**
 * The fetch of one block: asks the best server, races or replaces one that is late, verifies what comes, and asks
 * again while a server could come back. It opens no connections and decides nothing that another fetch needs to know:
 * whom to ask is in the book, when to race in the rules, and what a race may cost in the budget.
 */
import type { BlockHash } from "../block/hash.js";
import type { BlockRequest } from "../block/ports.js";
import type { VerifiedBlock } from "../block/verify.js";
import { abortReason } from "../core/abort.js";
import { formatSize } from "../core/bytes.js";
import { createBell } from "../core/bell.js";
import type { Clock } from "../core/clock.js";
import { formatDuration } from "../core/duration.js";
import type { LimitsOf } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { GivenUpAhead, WAITED_FOR } from "../core/urgency.js";
import type { WaitQueue } from "../core/waitQueue.js";
import { startAttempt, type Attempt } from "./attempt.js";
import { createFetchStory, type FetchStory } from "./fetchStory.js";
import type { HttpServer } from "./httpServer.js";
import { failed } from "./outcome.js";
import type { RaceBudget } from "./raceBudget.js";
import { raceStep } from "./raceRules.js";
import { hopelessMs, type BookQuery, type ServerBook } from "./serverBook.js";

export interface BlockFetchContext {
  /** By name, in configured order. */
  readonly servers: ReadonlyMap<string, HttpServer>;
  readonly book: ServerBook;
  /** Fetches that wait for a server to have a place, or to come back. */
  readonly queue: WaitQueue;
  readonly budget: RaceBudget;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: LimitsOf<"fetch">;
  /** Is told of every fetch what each server did, a line each. */
  readonly explain: (hash: BlockHash, lines: readonly string[]) => void;
}

/**
 * Fetches one block. Somebody who waits is patient with servers that failed or rest, for `patienceMs`; work done ahead
 * asks only those that are well. Whoever needs it to end sooner aborts the signal.
 *
 * @throws ERR_PSYNC_BLOCK_NOT_FOUND every server says it has none; ERR_PSYNC_BLOCK_UNAVAILABLE every server was asked,
 *   and those that could come back were waited for; or it took longer than that and a download at the slowest rate that
 *   is borne
 * @throws GivenUpAhead the same, where nobody waits; the request's signal's reason
 * Cost: one download where servers are honest and quick; at most two at a time.
 */
export async function fetchBlock(
  context: BlockFetchContext,
  request: BlockRequest,
): Promise<VerifiedBlock> {
  const fetch = new BlockFetch(context, request);
  try {
    return await fetch.run();
  } finally {
    fetch.end();
  }
}

interface NextServer {
  readonly server: string | undefined;
  /** When that was decided. */
  readonly wasWaitedFor: boolean;
}

class BlockFetch {
  readonly #context: BlockFetchContext;
  readonly #request: BlockRequest;
  /** What every estimate goes by: the most it can have only decides where it is cut off. */
  readonly #expectedBytes: number;
  readonly #urgency;
  readonly #story: FetchStory;
  readonly #bell;
  readonly #stopListening: () => void;
  /** In the order they were asked: at most two. */
  #running: Attempt[] = [];
  #waitedSinceMs: number;
  /**
   * Counted from the first request, and anew when somebody comes to wait: what is waited for before it has deadlines of
   * its own.
   */
  #cancelDeadline: (() => void) | undefined;
  #isOverdue = false;
  /** Whether a whole block was set aside already: once a fetch. */
  #hasPaid = false;
  /** What was set aside for the two that run. */
  #race: { readonly isPaidFor: boolean; readonly pay: (spentBytes: number) => void } | undefined;

  constructor(context: BlockFetchContext, request: BlockRequest) {
    const { clock } = context;
    this.#context = context;
    this.#request = request;
    this.#expectedBytes = request.expectedBytes ?? request.maxBytes;
    this.#urgency = request.urgency ?? WAITED_FOR;
    this.#waitedSinceMs = clock.nowMs();
    this.#bell = createBell(clock);
    this.#story = createFetchStory(context, request);
    const stopListening = this.#urgency.onPromoted(() => {
      this.#waitedSinceMs = clock.nowMs();
      if (this.#cancelDeadline) this.#startDeadline();
      this.#bell.ring();
    });
    const onAbort = (): void => {
      this.#bell.ring();
    };
    request.signal.addEventListener("abort", onAbort, { once: true });
    this.#stopListening = () => {
      stopListening();
      request.signal.removeEventListener("abort", onAbort);
    };
  }

  async run(): Promise<VerifiedBlock> {
    const { signal } = this.#request;
    for (;;) {
      if (signal.aborted) throw abortReason(signal);
      for (const attempt of this.#running.filter(({ result }) => result !== undefined)) {
        const block = this.#settle(attempt);
        if (block) return block;
      }
      if (this.#isOverdue) throw this.#failure();
      if (this.#running.length === 0) {
        const { server, wasWaitedFor } = await this.#nextServer();
        // Somebody who came to wait right after that has patience with those that are not well.
        if (server === undefined && wasWaitedFor !== this.#urgency.isWaitedFor) continue;
        if (server === undefined) throw this.#failure();
        this.#ask(server);
      }
      await this.#bell.wait(this.#step());
    }
  }

  /** Cuts off what is still under way, and tells what came of it all. */
  end(): void {
    this.#stopListening();
    this.#cancelDeadline?.();
    for (const attempt of this.#running) this.#cut(attempt, "abandoned");
    this.#payFor(0);
    this.#story.tell();
  }

  #failure(): Error {
    const unavailable = this.#story.unavailable();
    return this.#urgency.isWaitedFor ? unavailable : new GivenUpAhead(unavailable);
  }

  /** Waits for the best server to have a place; undefined: nobody is left to ask. */
  async #nextServer(): Promise<NextServer> {
    const { book, queue, clock } = this.#context;
    let cancelTimer = (): void => undefined;
    try {
      return await queue.wait<NextServer>(() => {
        cancelTimer();
        const wasWaitedFor = this.#urgency.isWaitedFor;
        const nobody = { type: "served", value: { server: undefined, wasWaitedFor } } as const;
        if (this.#isOverdue) return nobody;
        const choice = book.choose(this.#query());
        if (choice.type === "nobody") return nobody;
        if (choice.type === "ask") {
          // In the same turn, so that the next in the queue sees it.
          book.begin(choice.server, clock.nowMs());
          return { type: "served", value: { server: choice.server, wasWaitedFor } };
        }
        const delayMs = choice.untilMs - clock.nowMs();
        if (delayMs < Infinity) cancelTimer = clock.after(delayMs, queue.wake);
        return { type: "next" };
      }, this.#request);
    } finally {
      cancelTimer();
    }
  }

  #query(): BookQuery {
    const { clock, limits } = this.#context;
    const notBeforeMs = new Map(this.#story.notBeforeMs());
    for (const { server } of this.#running) notBeforeMs.set(server, Infinity);
    return {
      hash: this.#request.hash,
      expectedBytes: this.#expectedBytes,
      nowMs: clock.nowMs(),
      isWaitedFor: this.#urgency.isWaitedFor,
      giveUpAtMs: this.#waitedSinceMs + limits.patienceMs,
      mayTry: true,
      notBeforeMs,
    };
  }

  /** Asks a server that the book knows is asked. */
  #ask(name: string): Attempt {
    const { servers, clock, book } = this.#context;
    const server = servers.get(name);
    if (!server) throw new Error(`no such server: ${name}`);
    if (!this.#cancelDeadline) this.#startDeadline();
    const nowMs = clock.nowMs();
    const lateAtMs = nowMs + book.lateAfterMs(name, this.#query());
    const attempt = startAttempt(server, this.#request, {
      clock,
      lateAtMs,
      onChange: this.#bell.ring,
    });
    this.#running.push(attempt);
    return attempt;
  }

  #startDeadline(): void {
    const { clock, limits, queue } = this.#context;
    const slowestMs = (this.#expectedBytes * 1000) / limits.slowBytesPerSecond;
    this.#cancelDeadline?.();
    this.#isOverdue = false;
    this.#cancelDeadline = clock.after(limits.patienceMs + slowestMs, () => {
      this.#isOverdue = true;
      this.#bell.ring();
      queue.wake();
    });
  }

  /** Does what the rules say about those that are late. @returns when to look again */
  #step(): number {
    const { clock, limits, budget } = this.#context;
    const expectedBytes = this.#expectedBytes;
    let maySecond = true;
    for (;;) {
      const step = raceStep(
        {
          running: this.#running,
          nowMs: clock.nowMs(),
          isWaitedFor: this.#urgency.isWaitedFor,
          expectedBytes,
          hopelessMs: hopelessMs(expectedBytes, limits),
          maySecond,
          hasPaid: this.#hasPaid,
          canPay: (bytes) => budget.canReserve(bytes, expectedBytes),
          isPaidFor: this.#race?.isPaidFor === true,
        },
        limits,
      );
      switch (step.type) {
        case "wait":
          return step.untilMs;
        case "lost":
          this.#cut(step.loser, "lost");
          break;
        case "second":
          maySecond = this.#askSecond(step.reserveBytes);
          break;
        case "replace":
          maySecond = this.#replace(step.slow);
      }
    }
  }

  /** @returns whether there was another server to ask */
  #askSecond(reserveBytes: number): boolean {
    const server = this.#anotherServer();
    if (server === undefined) return false;
    // What was set aside for an earlier second one is free again.
    this.#payFor(0);
    const isPaidFor = reserveBytes >= this.#expectedBytes;
    this.#hasPaid ||= isPaidFor;
    this.#race = { isPaidFor, pay: this.#context.budget.reserve(reserveBytes) };
    this.#ask(server);
    return true;
  }

  /** @returns whether there was another server to ask */
  #replace(slow: Attempt): boolean {
    const server = this.#anotherServer();
    if (server === undefined) return false;
    this.#cut(slow, "dropped");
    this.#ask(server);
    return true;
  }

  /** One that can be asked now and can be expected to be quick, begun in the book. */
  #anotherServer(): string | undefined {
    const { book, clock, limits } = this.#context;
    // Something is under way: nobody waits for the sake of this one alone.
    const choice = book.choose({ ...this.#query(), giveUpAtMs: Infinity, mayTry: false });
    if (choice.type !== "ask") return undefined;
    const expectedMs = book.expectedMs(choice.server, this.#expectedBytes) ?? 0;
    if (expectedMs > hopelessMs(this.#expectedBytes, limits) / 2) return undefined;
    book.begin(choice.server, clock.nowMs());
    return choice.server;
  }

  /** Takes the result of an attempt that ended. @returns the block, where it has it */
  #settle(attempt: Attempt): VerifiedBlock | undefined {
    const { budget } = this.#context;
    const { result } = attempt;
    if (result === undefined) return undefined;
    this.#remove(attempt);
    if (result.type === "threw") {
      this.#note(attempt, "abandoned");
      throw result.error;
    }
    this.#note(attempt, result);
    if (result.type !== "block") return undefined;
    budget.noteUseful(result.block.bytes.length);
    for (const loser of this.#running) this.#cut(loser, "lost");
    return result.block;
  }

  #cut(attempt: Attempt, why: "lost" | "dropped" | "abandoned"): void {
    this.#remove(attempt);
    attempt.cut();
    if (why === "lost") this.#payFor(attempt.receivedBytes);
    if (why === "dropped") this.#context.budget.noteWasted(attempt.receivedBytes);
    const { clock, limits } = this.#context;
    const { result } = attempt;
    const stoodStill = clock.nowMs() - attempt.lastByteAtMs >= limits.standstillMs;
    if (result !== undefined && result.type !== "threw") {
      // It ended in this very turn: a lie counts, and a server that was as quick has lost nothing.
      this.#note(attempt, result);
    } else if (why === "dropped" || (why === "lost" && stoodStill)) {
      const bytes = formatSize(attempt.receivedBytes);
      const forMs = formatDuration(clock.nowMs() - attempt.startMs);
      this.#note(attempt, failed("slow", `given up after ${bytes} in ${forMs}`));
    } else {
      this.#note(attempt, why);
    }
  }

  #note(attempt: Attempt, end: Parameters<FetchStory["note"]>[1]): void {
    this.#story.note(attempt, end);
    this.#context.queue.wake();
  }

  #remove(attempt: Attempt): void {
    this.#running = this.#running.filter((other) => other !== attempt);
  }

  #payFor(spentBytes: number): void {
    if (this.#race) this.#race.pay(spentBytes);
    else this.#context.budget.noteWasted(spentBytes);
    this.#race = undefined;
  }
}

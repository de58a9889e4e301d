/**
 * A server without sockets: an HttpServer whose answers follow its plan, and come over the simulated network.
 * What the real exchange enforces for itself (timeouts, the slow window) it enforces too.
 */
import { abortReason } from "../../../src/core/abort.js";
import { failed, type FetchOutcome } from "../../../src/fetch/outcome.js";
import type { HttpServer, OnReceived } from "../../../src/fetch/httpServer.js";
import type { BlockRequest } from "../../../src/block/ports.js";
import { createDice, type Dice } from "../blocks.js";
import { isFault, nextCut, phaseAt, type Behaviour, type ServerPlan } from "./behaviour.js";
import type { Flow } from "./network.js";
import type { RequestEnd, RequestRecord } from "./record.js";
import type { World } from "./world.js";

export interface SimulatedServer extends HttpServer {
  underWay(): number;
}

export function createSimulatedServer(plan: ServerPlan, world: World): SimulatedServer {
  const dice = createDice(`${world.seed} ${plan.name}`);
  let underWay = 0;
  return {
    name: plan.name,
    underWay: () => underWay,
    fetchBytes: (request, onReceived) =>
      new Promise((resolve, reject) => {
        if (request.signal.aborted) {
          reject(abortReason(request.signal));
          return;
        }
        underWay += 1;
        const leave = (end: RequestEnd): void => {
          underWay -= 1;
          request.signal.removeEventListener("abort", onAbort);
          world.ended(exchange.record, end, exchange.receivedBytes());
        };
        const onAbort = (): void => {
          exchange.abandon();
          leave(world.endOfAborted(request.hash));
          reject(abortReason(request.signal));
        };
        const exchange = new SimulatedExchange({
          plan,
          world,
          dice,
          request,
          underWay,
          onReceived: onReceived ?? (() => undefined),
          onOutcome: (outcome) => {
            leave(world.endOf(request.hash, outcome));
            resolve(outcome);
          },
        });
        request.signal.addEventListener("abort", onAbort, { once: true });
        exchange.begin();
      }),
    close: () => Promise.resolve(),
  };
}

interface ExchangeOptions {
  readonly plan: ServerPlan;
  readonly world: World;
  readonly dice: Dice;
  readonly request: BlockRequest;
  /** Requests to the server, this one too. */
  readonly underWay: number;
  readonly onReceived: OnReceived;
  readonly onOutcome: (outcome: FetchOutcome) => void;
}

/** One request and its answer. */
class SimulatedExchange {
  readonly record: RequestRecord;
  readonly #options: ExchangeOptions;
  readonly #behaviour: Behaviour;
  /** What may still happen, by what it is for: one of each at a time. */
  readonly #timers = new Map<"step" | "limit" | "cut", () => void>();
  #flow: Flow | undefined;
  /** What the client was told of: what is on its way to it does not count as received. */
  #toldBytes = 0;
  #over = false;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    const { plan, world, dice, request } = options;
    const nowMs = world.clock.nowMs();
    const { behaviour, chance } = phaseAt(plan, nowMs);
    const isHit = chance >= 1 || dice.roll(1000) < chance * 1000;
    this.#behaviour = isHit ? behaviour : { type: "serve", speed: 1 };
    this.record = world.began({
      server: plan.name,
      blockIndex: world.blockIndexOf(request.hash),
      underWay: options.underWay,
      isBad: isFault(this.#behaviour) || this.#behaviour.type === "lie",
    });
  }

  begin(): void {
    const { plan, world } = this.#options;
    const { clock, limits } = world;
    const cut = nextCut(plan, clock.nowMs());
    if (cut) {
      this.#after("cut", cut.atMs - clock.nowMs(), () => {
        this.record.isBad = true;
        if (cut.how === "reset") this.#settle(failed("reset", "connection reset"));
        else this.#stall();
      });
    }
    if (this.#behaviour.type === "unreachable") {
      this.#after("limit", limits.connectTimeoutMs, () => {
        this.#settle(failed("timeout", "connection timed out"));
      });
      return;
    }
    this.#after("limit", limits.headersTimeoutMs, () => {
      this.#settle(failed("timeout", `no answer in ${limits.headersTimeoutMs} ms`));
    });
    if (this.#behaviour.type === "silent") return;
    this.#after("step", this.#latencyMs(), () => {
      this.#answer(this.#behaviour);
    });
  }

  abandon(): void {
    this.#end();
  }

  receivedBytes(): number {
    return this.#toldBytes;
  }

  #answer(behaviour: Behaviour): void {
    const { plan, world, dice } = this.#options;
    const { blockIndex } = this.record;
    const bytes = world.bytesOf(blockIndex);
    const wholeOf = (whole: Uint8Array): FetchOutcome => ({
      type: "bytes",
      bytes: whole,
      endMarked: true,
    });
    switch (behaviour.type) {
      case "serve":
        if (!plan.holds(blockIndex)) this.#settle({ type: "notFound" });
        else this.#send(bytes.length, wholeOf(bytes), behaviour.speed);
        return;
      case "lackAll":
        this.#settle({ type: "notFound" });
        return;
      case "lie":
        this.#send(bytes.length, wholeOf(wrongBytes(bytes, dice)));
        return;
      case "drip":
        this.#send(
          bytes.length,
          wholeOf(bytes),
          behaviour.bytesPerSecond / plan.connectionBytesPerSecond,
        );
        return;
      case "stallInBody":
        this.#send(partOf(bytes, behaviour.part).length, undefined);
        return;
      case "resetInBody":
        this.#send(partOf(bytes, behaviour.part).length, failed("reset", "connection reset"));
        return;
      case "truncate":
        this.#send(partOf(bytes, behaviour.part).length, failed("truncated", "cut short"));
        return;
      case "endUnmarked": {
        const part = partOf(bytes, behaviour.part);
        this.#send(part.length, { type: "bytes", bytes: part, endMarked: false });
        return;
      }
      case "refuse":
        this.#settle(failed("refused", "connection refused"));
        return;
      case "resetBeforeHead":
        this.#settle(failed("reset", "connection closed without an answer"));
        return;
      case "status500":
        this.#settle(failed("status", "status 500", true));
        return;
      case "redirect":
        this.#settle(failed("redirect", "302, a redirect: not followed"));
        return;
      case "tooLong":
        this.#settle(failed("tooLong", "more bytes announced than expected"));
        return;
      case "silent":
      case "unreachable":
        return;
    }
  }

  /** Sends the head and so many bytes, then gives the outcome; undefined: the connection stays open, silent. */
  #send(sizeBytes: number, outcome: FetchOutcome | undefined, speed = 1): void {
    const { plan, world, onReceived } = this.#options;
    this.record.headMs = world.clock.nowMs();
    this.#watchSpeed();
    onReceived(0);
    if (this.#isOver()) return;
    this.#flow = world.network.start({
      server: plan.name,
      serverBytesPerSecond: plan.capacityBytesPerSecond,
      limitBytesPerSecond: plan.connectionBytesPerSecond * speed,
      totalBytes: sizeBytes,
      onProgress: (receivedBytes) => {
        this.#toldBytes = receivedBytes;
        onReceived(receivedBytes);
        if (receivedBytes >= sizeBytes && outcome && !this.#isOver()) this.#settle(outcome);
      },
    });
  }

  /** Looks once a window at what came in it, as the real exchange does. */
  #watchSpeed(): void {
    const { slowWindowMs, slowBytesPerSecond } = this.#options.world.limits;
    const sentBytes = (): number => this.#flow?.receivedBytes() ?? 0;
    const beforeBytes = sentBytes();
    this.#after("limit", slowWindowMs, () => {
      const windowBytes = sentBytes() - beforeBytes;
      if (windowBytes * 1000 >= slowBytesPerSecond * slowWindowMs) this.#watchSpeed();
      else this.#settle(failed("slow", `only ${windowBytes} bytes in ${slowWindowMs} ms`));
    });
  }

  /** The network is gone: what is under way hangs until the client gives it up. */
  #stall(): void {
    this.#flow?.stop();
    this.#timers.get("step")?.();
  }

  #settle(outcome: FetchOutcome): void {
    if (this.#over) return;
    this.#end();
    this.#options.onOutcome(outcome);
  }

  #end(): void {
    this.#over = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#flow?.stop();
  }

  /** A method, since whoever is told of bytes may end the request. */
  #isOver(): boolean {
    return this.#over;
  }

  #after(what: "step" | "limit" | "cut", delayMs: number, callback: () => void): void {
    this.#timers.get(what)?.();
    this.#timers.set(what, this.#options.world.clock.after(delayMs, callback));
  }

  /** Around the median; one in a hundred takes three times as long. */
  #latencyMs(): number {
    const { plan, dice } = this.#options;
    const { latencyMs, jitter } = plan;
    if (jitter > 0 && dice.roll(100) === 0) return latencyMs * 3;
    return latencyMs * (1 + jitter * (dice.roll(1000) / 500 - 1));
  }
}

function partOf(bytes: Uint8Array, part: number): Uint8Array {
  return bytes.subarray(0, Math.min(bytes.length - 1, Math.floor(bytes.length * part)));
}

function wrongBytes(bytes: Uint8Array, dice: Dice): Uint8Array {
  const wrong = Uint8Array.from(bytes);
  const at = dice.roll(wrong.length);
  wrong[at] = (wrong[at] ?? 0) ^ 1;
  return wrong;
}

/** What a simulated server does with a request, and how that changes with time. Plain data, and the look-up. */

/** Ways to fail that bring no block and are no lie. */
export type Fault =
  /** No connection: at once, or only after the connect timeout. */
  | { readonly type: "refuse" | "unreachable" }
  /** Takes the request and never answers. */
  | { readonly type: "silent" }
  | { readonly type: "resetBeforeHead" }
  | { readonly type: "status500" | "redirect" | "tooLong" }
  /** A right beginning, this part of the block. Then nothing more, a reset, or an end where none was announced. */
  | {
      readonly type: "stallInBody" | "resetInBody" | "truncate" | "endUnmarked";
      readonly part: number;
    }
  /** Right bytes, fewer than the client bears. */
  | { readonly type: "drip"; readonly bytesPerSecond: number };

export type Behaviour =
  /** Gives the blocks it holds at this part of its speed, and 404 for the others. */
  | { readonly type: "serve"; readonly speed: number }
  /** Complete answers with wrong bytes, for any block. */
  | { readonly type: "lie" }
  /** Says of every block that it has none. */
  | { readonly type: "lackAll" }
  | Fault;

/** From a moment on; the rest of the requests, where the chance is below 1, are served as by an honest server. */
export interface Phase {
  readonly fromMs: number;
  readonly behaviour: Behaviour;
  /** How many of the requests it hits, 0 to 1. */
  readonly chance: number;
}

export interface ServerPlan {
  readonly name: string;
  /** From the request to the head of the answer: the median, and how far most are from it, as a part of it. */
  readonly latencyMs: number;
  readonly jitter: number;
  readonly connectionBytesPerSecond: number;
  /** What all connections together can have. */
  readonly capacityBytesPerSecond: number;
  readonly holds: (blockIndex: number) => boolean;
  /** The first is from 0; in order. */
  readonly phases: readonly Phase[];
}

export const HONEST: Behaviour = { type: "serve", speed: 1 };

export function phaseAt(plan: ServerPlan, atMs: number): Phase {
  return plan.phases.findLast(({ fromMs }) => fromMs <= atMs) ?? honestFrom(0);
}

export function honestFrom(fromMs: number): Phase {
  return { fromMs, behaviour: HONEST, chance: 1 };
}

/** When the requests that are under way at a moment will be cut, and how; undefined: never. */
export function nextCut(
  plan: ServerPlan,
  afterMs: number,
): { readonly atMs: number; readonly how: "reset" | "stall" } | undefined {
  for (const { fromMs, behaviour, chance } of plan.phases) {
    if (fromMs <= afterMs || chance < 1) continue;
    if (behaviour.type === "refuse" || behaviour.type === "resetBeforeHead") {
      return { atMs: fromMs, how: "reset" };
    }
    if (behaviour.type === "unreachable" || behaviour.type === "silent") {
      return { atMs: fromMs, how: "stall" };
    }
  }
  return undefined;
}

/** Since when a server has not answered anything of use, and never will again; Infinity: it may. */
export function deadSinceMs(plan: ServerPlan): number {
  return sinceMs(plan, isFault);
}

/** The same, where lies count as of no use too. */
export function uselessSinceMs(plan: ServerPlan): number {
  return sinceMs(plan, (behaviour) => isFault(behaviour) || behaviour.type === "lie");
}

function sinceMs({ phases }: ServerPlan, isUseless: (behaviour: Behaviour) => boolean): number {
  let startMs = Infinity;
  for (const { fromMs, behaviour, chance } of phases) {
    if (chance < 1 || !isUseless(behaviour)) startMs = Infinity;
    else startMs = Math.min(startMs, fromMs);
  }
  return startMs;
}

const ANSWERS: ReadonlySet<Behaviour["type"]> = new Set(["serve", "lie", "lackAll"]);

/** A way to fail that brings no block and is no lie. */
export function isFault({ type }: Behaviour): boolean {
  return !ANSWERS.has(type);
}

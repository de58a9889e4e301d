/** What a store must answer, as a Map would: which answers are right, by what was done before and is done meanwhile. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { seededBlock, type Dice } from "./blocks.js";

/**
 * Numbers of blocks; `keep`, `sync`, `claim` and the sweeps take several, `repair` none, the others one. `gc` and `unpin`
 * are sweeps to nowhere and to the cache; `repair` is what `psync fsck --repair` does without servers.
 */
export interface ModelOp {
  readonly kind:
    "keep" | "cache" | "read" | "pin" | "find" | "sync" | "claim" | "gc" | "unpin" | "repair";
  readonly numbers: readonly number[];
}

/** An operation, and the process that is told to do it. */
export interface AssignedOp extends ModelOp {
  readonly process: number;
}

export type ModelResult =
  "done" | "absent" | "right" | "kept" | "cached" | "refused" | "wrong" | `threw: ${string}`;

const BLOCK_COUNT = 60;
export const LARGEST_BLOCK_BYTES = 20_000;
/** How often each is done, of the sum of all. A repair reads the whole store. */
const WEIGHTS: Readonly<Record<ModelOp["kind"], number>> = {
  keep: 12,
  cache: 30,
  read: 16,
  pin: 10,
  find: 8,
  sync: 8,
  claim: 4,
  gc: 6,
  unpin: 6,
  repair: 1,
};
const KINDS = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as ModelOp["kind"]),
);
const MOST_NUMBERS: Readonly<Partial<Record<ModelOp["kind"], number>>> = {
  keep: 2,
  sync: 2,
  claim: 4,
  gc: 12,
  unpin: 12,
};

/** The block of a number; their lengths differ, and one is empty. */
export function modelBlock(number: number): VerifiedBlock {
  return seededBlock(`model ${number}`, (Math.abs(number) * 7919) % LARGEST_BLOCK_BYTES);
}

/** @param epoch blocks of an earlier one are not touched any more: else all would be kept after a while */
export function randomOp(dice: Dice, epoch: number): ModelOp {
  const kind = KINDS[dice.roll(KINDS.length)] ?? "read";
  const number = (): number => epoch * BLOCK_COUNT + dice.roll(BLOCK_COUNT);
  const count = kind === "repair" ? 0 : 1 + dice.roll(MOST_NUMBERS[kind] ?? 1);
  return { kind, numbers: Array.from({ length: count }, number) };
}

/** What is done at one time, in several processes. */
export interface ModelStep {
  readonly ops: readonly AssignedOp[];
  /** The process that is killed meanwhile. */
  readonly victim: number | undefined;
  /** Where the blocks of the operations lay before. */
  readonly onDisk: ReadonlyMap<number, "kept" | "cached">;
}

export class StoreModel {
  readonly #store: string;
  /** Each block that was ever put: kept for certain, or anywhere or nowhere. */
  readonly #known = new Map<number, "kept" | "maybe">();
  /** What each process has claimed for certain since its store was opened: no sweep takes it. */
  readonly #claims = new Map<number, Set<number>>();

  constructor(store: string) {
    this.#store = store;
  }

  keptNumbers(): number[] {
    return [...this.#known].filter(([, state]) => state === "kept").map(([number]) => number);
  }

  /** The answers of an operation of a step that are right; where it is alone, what was on the disk decides. */
  rightResults(op: AssignedOp, step: ModelStep): readonly ModelResult[] {
    const { kind, numbers } = op;
    const [number = 0] = numbers;
    const isKept = (each: number): boolean =>
      this.#known.get(each) === "kept" && !this.#mayBeSwept(each, step);
    const others = step.ops.filter((other) => other !== op);
    const isAlone = others.every((other) => other.kind === "read" || other.kind === "find");
    const place = step.onDisk.get(number);
    const mayBeThere =
      place !== undefined || others.some((other) => isPut(other) && other.numbers.includes(number));
    switch (kind) {
      case "keep":
      case "cache":
      case "claim":
      case "repair":
        return ["done"];
      case "gc":
      case "unpin":
        // The other one may take longer than it is waited for.
        return others.some(isSweep) ? ["done", "refused"] : ["done"];
      case "read":
        if (isKept(number) || (isAlone && place)) return ["right"];
        return mayBeThere ? ["right", "absent"] : ["absent"];
      case "pin":
        if (isKept(number) || (isAlone && place)) return ["done"];
        return mayBeThere ? ["done", "absent"] : ["absent"];
      case "find":
        if (isKept(number)) return ["kept"];
        if (isAlone) return [place ?? "absent"];
        return mayBeThere ? ["kept", "cached", "absent"] : ["absent"];
      case "sync": {
        if (numbers.every(isKept)) return ["done"];
        const isPossible = numbers.every(
          (each) => step.onDisk.get(each) === "kept" || others.some((o) => keeps(o, each)),
        );
        return isPossible ? ["done", "refused"] : ["refused"];
      }
    }
  }

  /** Takes in a step and its results; nobody knows the end of what was under way in a process that was killed. */
  note(step: ModelStep, results: readonly (ModelResult | undefined)[]): void {
    const { ops, victim } = step;
    for (const number of ops.filter(isSweep).flatMap(({ numbers }) => numbers)) {
      if (this.#known.has(number) && this.#mayBeSwept(number, step))
        this.#known.set(number, "maybe");
    }
    ops.forEach((op, nth) => {
      // A sweep may have begun when the process had gone, and its claims with it.
      const isAlive = op.process !== victim;
      for (const number of op.numbers) {
        if (isPut(op) && !this.#known.has(number)) this.#known.set(number, "maybe");
        const isSaidToBeKept = CLAIMING.has(op.kind) && op.kind !== "claim";
        const isSwept = ops.some((other) => isSweep(other) && other.numbers.includes(number));
        if (isSaidToBeKept && results[nth] === "done" && (isAlive || !isSwept)) {
          this.#known.set(number, "kept");
        }
        if (isAlive && CLAIMING.has(op.kind)) this.#claimsOf(op.process).add(number);
      }
    });
    if (victim !== undefined) this.forgetClaims(victim);
  }

  /** The process has closed its store, or was killed. */
  forgetClaims(process: number): void {
    this.#claims.delete(process);
  }

  /**
   * Blocks that still lie in blocks/, although a sweep has ended that was to take them and nobody could claim them.
   *
   * @param results of the step's operations, before they are noted
   */
  spared(step: ModelStep, results: readonly (ModelResult | undefined)[]): number[] {
    const claiming = step.ops.filter(({ kind }) => CLAIMING.has(kind));
    const kept = this.look(step.ops);
    return step.ops
      .filter((op, nth) => isSweep(op) && results[nth] === "done")
      .flatMap(({ numbers }) => numbers)
      .filter((number) => kept.get(number) === "kept")
      .filter((number) => ![...this.#claims.values()].some((claims) => claims.has(number)))
      .filter((number) => !claiming.some(({ numbers }) => numbers.includes(number)));
  }

  /** Where the blocks of operations lie now. */
  look(ops: readonly ModelOp[]): Map<number, "kept" | "cached"> {
    const places = new Map<number, "kept" | "cached">();
    for (const number of ops.flatMap(({ numbers }) => numbers)) {
      const { hash } = modelBlock(number);
      if (existsSync(join(this.#store, "blocks", hash))) places.set(number, "kept");
      else if (existsSync(join(this.#store, "cache", hash))) places.set(number, "cached");
    }
    return places;
  }

  /** Whether a sweep of a step may find nobody who claims a block, or be there before who does. */
  #mayBeSwept(number: number, { ops, victim }: ModelStep): boolean {
    if (!ops.some((op) => isSweep(op) && op.numbers.includes(number))) return false;
    return ![...this.#claims].some(([process, claims]) => process !== victim && claims.has(number));
  }

  #claimsOf(process: number): Set<number> {
    const claims = this.#claims.get(process) ?? new Set();
    this.#claims.set(process, claims);
    return claims;
  }
}

/** These claim their blocks before they look for them, and whatever comes of it. */
const CLAIMING: ReadonlySet<ModelOp["kind"]> = new Set(["keep", "pin", "sync", "claim"]);

function isPut({ kind }: ModelOp): boolean {
  return kind === "keep" || kind === "cache";
}

function isSweep({ kind }: ModelOp): boolean {
  return kind === "gc" || kind === "unpin";
}

function keeps({ kind, numbers }: ModelOp, number: number): boolean {
  return (kind === "keep" || kind === "pin") && numbers.includes(number);
}

/** What a store must answer, as a Map would: which answers are right, by what was done before and is done meanwhile. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { seededBlock, type Dice } from "./blocks.js";

/** Numbers of blocks; `keep` and `sync` take several, the others one. */
export interface ModelOp {
  readonly kind: "keep" | "cache" | "read" | "pin" | "find" | "sync";
  readonly numbers: readonly number[];
}

export type ModelResult =
  "done" | "absent" | "right" | "kept" | "cached" | "refused" | "wrong" | `threw: ${string}`;

const BLOCK_COUNT = 60;
export const LARGEST_BLOCK_BYTES = 20_000;
const KINDS = ["keep", "cache", "cache", "cache", "read", "read", "pin", "find", "sync"] as const;

/** The block of a number; their lengths differ, and one is empty. */
export function modelBlock(number: number): VerifiedBlock {
  return seededBlock(`model ${number}`, (Math.abs(number) * 7919) % LARGEST_BLOCK_BYTES);
}

/** @param epoch blocks of an earlier one are not touched any more: else all would be kept after a while */
export function randomOp(dice: Dice, epoch: number): ModelOp {
  const kind = KINDS[dice.roll(KINDS.length)] ?? "read";
  const number = (): number => epoch * BLOCK_COUNT + dice.roll(BLOCK_COUNT);
  const count = kind === "keep" || kind === "sync" ? 1 + dice.roll(2) : 1;
  return { kind, numbers: Array.from({ length: count }, number) };
}

export class StoreModel {
  readonly #store: string;
  /** Each block that was ever put: kept for certain, or anywhere or nowhere. */
  readonly #known = new Map<number, "kept" | "maybe">();

  constructor(store: string) {
    this.#store = store;
  }

  keptNumbers(): number[] {
    return [...this.#known].filter(([, state]) => state === "kept").map(([number]) => number);
  }

  /**
   * The answers that are right for an operation.
   *
   * @param meanwhile all operations of the same time, this one too
   * @param onDisk what `look` said before them; where an operation is alone, it decides
   */
  rightResults(
    op: ModelOp,
    meanwhile: readonly ModelOp[],
    onDisk: ReadonlyMap<number, "kept" | "cached">,
  ): readonly ModelResult[] {
    const { kind, numbers } = op;
    const [number = 0] = numbers;
    const isKept = this.#known.get(number) === "kept";
    const others = meanwhile.filter((other) => other !== op);
    const isAlone = others.every((other) => other.kind === "read" || other.kind === "find");
    const place = onDisk.get(number);
    const mayBeThere =
      place !== undefined || others.some((other) => isPut(other) && other.numbers.includes(number));
    switch (kind) {
      case "keep":
      case "cache":
        return ["done"];
      case "read":
        if (isKept || (isAlone && place)) return ["right"];
        return mayBeThere ? ["right", "absent"] : ["absent"];
      case "pin":
        if (isKept || (isAlone && place)) return ["done"];
        return mayBeThere ? ["done", "absent"] : ["absent"];
      case "find":
        if (isKept) return ["kept"];
        if (isAlone) return [place ?? "absent"];
        return mayBeThere ? ["kept", "cached", "absent"] : ["absent"];
      case "sync": {
        if (numbers.every((each) => this.#known.get(each) === "kept")) return ["done"];
        const isPossible = numbers.every(
          (each) => onDisk.get(each) === "kept" || others.some((o) => keeps(o, each)),
        );
        return isPossible ? ["done", "refused"] : ["refused"];
      }
    }
  }

  /** Takes in an operation that gave this, or that nobody knows the end of: its process was killed. */
  note(op: ModelOp, result: ModelResult | undefined): void {
    for (const number of op.numbers) {
      if (isPut(op) && !this.#known.has(number)) this.#known.set(number, "maybe");
      const isSaidToBeKept = op.kind === "keep" || op.kind === "pin" || op.kind === "sync";
      if (isSaidToBeKept && result === "done") this.#known.set(number, "kept");
    }
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
}

function isPut({ kind }: ModelOp): boolean {
  return kind === "keep" || kind === "cache";
}

function keeps({ kind, numbers }: ModelOp, number: number): boolean {
  return (kind === "keep" || kind === "pin") && numbers.includes(number);
}

/** The names of a seed's blocks on their way to the index: so many a transaction, so that none holds the thread for long. */
import { LIMITS } from "../core/limits.js";
import type { BlockHash } from "../block/hash.js";
import type { SeedFile } from "../block/ports.js";
import type { StoreIndex } from "./storeIndex.js";

export interface SeedBlockWriterOptions {
  readonly index: StoreIndex;
  readonly file: SeedFile;
  readonly firstIndex: number;
  /** Whether they replace what is said of the file, or confirm it. */
  readonly as: "new" | "confirmed";
}

export class SeedBlockWriter {
  readonly #options: SeedBlockWriterOptions;
  #nextIndex: number;
  #waiting: BlockHash[] = [];

  constructor(options: SeedBlockWriterOptions) {
    this.#options = options;
    this.#nextIndex = options.firstIndex;
  }

  /** @returns as `flush` */
  async add(hash: BlockHash): Promise<boolean | undefined> {
    this.#waiting.push(hash);
    const { batchCount, batchBytes } = LIMITS.seeds;
    const waitingBytes = this.#waiting.length * this.#options.file.blockSizeBytes;
    if (this.#waiting.length < batchCount && waitingBytes < batchBytes) return true;
    return this.flush();
  }

  /** @returns false: another block stands where one was to be confirmed; undefined: the index did not take them */
  async flush(): Promise<boolean | undefined> {
    const { index, file, as } = this.#options;
    const hashes = this.#waiting;
    const first = this.#nextIndex;
    if (hashes.length === 0) return true;
    this.#waiting = [];
    this.#nextIndex += hashes.length;
    return index.changeSeeds((rows) => {
      if (as === "confirmed") return rows.confirmBlocks(file, first, hashes);
      rows.addBlocks(file, first, hashes);
      return true;
    });
  }
}

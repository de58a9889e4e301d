/** The names of a seed's blocks on their way to the index: so many a transaction, so that none holds the thread for long. */
import { LIMITS } from "../core/limits.js";
import type { BlockHash } from "../block/hash.js";
import type { SeedFile } from "../block/ports.js";
import type { StoreIndex } from "./storeIndex.js";

export class SeedBlockWriter {
  readonly #index: StoreIndex;
  readonly #file: SeedFile;
  #nextIndex: number;
  #waiting: BlockHash[] = [];

  constructor(index: StoreIndex, file: SeedFile, firstIndex = 0) {
    this.#index = index;
    this.#file = file;
    this.#nextIndex = firstIndex;
  }

  async add(hash: BlockHash): Promise<void> {
    this.#waiting.push(hash);
    const { batchCount, batchBytes } = LIMITS.seeds;
    const waitingBytes = this.#waiting.length * this.#file.blockSizeBytes;
    if (this.#waiting.length >= batchCount || waitingBytes >= batchBytes) await this.flush();
  }

  async flush(): Promise<void> {
    const hashes = this.#waiting;
    const first = this.#nextIndex;
    if (hashes.length === 0) return;
    this.#waiting = [];
    this.#nextIndex += hashes.length;
    await this.#index.changeSeeds((rows) => {
      rows.addBlocks(this.#file, first, hashes);
    });
  }
}

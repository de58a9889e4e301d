/** Names of blocks by the million, in raw bytes: a Set of strings takes three times as much, and ends at 2^24. */
import { blockHashFromBytes, HASH_BYTES, type BlockHash } from "./hash.js";
import { hashWord } from "./hashWord.js";

const FIRST_SLOTS = 1024;
/** Fuller than this, and looking one up takes many steps. */
const MAX_LOAD = 0.7;

/** Cost: 47 to 94 bytes a name, and three times as much while it grows. */
export class HashSet implements Iterable<BlockHash> {
  #names = Buffer.alloc(FIRST_SLOTS * HASH_BYTES);
  #isTaken = new Uint8Array(FIRST_SLOTS);
  #size = 0;
  readonly #wanted = Buffer.alloc(HASH_BYTES);

  get size(): number {
    return this.#size;
  }

  has(hash: BlockHash): boolean {
    this.#wanted.write(hash, "hex");
    return this.#isTaken[this.#slotOf(this.#wanted, 0)] === 1;
  }

  add(hash: BlockHash): void {
    this.#wanted.write(hash, "hex");
    this.addBytes(this.#wanted, 0);
  }

  /** Adds the name in 32 raw bytes of `source`, from `start`. */
  addBytes(source: Buffer, start: number): void {
    const slot = this.#slotOf(source, start);
    if (this.#isTaken[slot] === 1) return;
    source.copy(this.#names, slot * HASH_BYTES, start, start + HASH_BYTES);
    this.#isTaken[slot] = 1;
    this.#size += 1;
    if (this.#size > this.#isTaken.length * MAX_LOAD) this.#grow();
  }

  /** In no order. Nothing may be added meanwhile. */
  *[Symbol.iterator](): Generator<BlockHash, void, undefined> {
    for (let slot = 0; slot < this.#isTaken.length; slot += 1) {
      if (this.#isTaken[slot] === 1) yield blockHashFromBytes(this.#names, slot * HASH_BYTES);
    }
  }

  /** Where the name is, or the free slot where it belongs. */
  #slotOf(source: Buffer, start: number): number {
    const slotCount = this.#isTaken.length;
    let slot = hashWord(source, start) % slotCount;
    while (this.#isTaken[slot] === 1 && !this.#isAt(slot, source, start)) {
      slot = (slot + 1) % slotCount;
    }
    return slot;
  }

  #isAt(slot: number, source: Buffer, start: number): boolean {
    const at = slot * HASH_BYTES;
    return this.#names.compare(source, start, start + HASH_BYTES, at, at + HASH_BYTES) === 0;
  }

  #grow(): void {
    const [names, isTaken] = [this.#names, this.#isTaken];
    this.#names = Buffer.alloc(names.length * 2);
    this.#isTaken = new Uint8Array(isTaken.length * 2);
    this.#size = 0;
    for (let slot = 0; slot < isTaken.length; slot += 1) {
      if (isTaken[slot] === 1) this.addBytes(names, slot * HASH_BYTES);
    }
  }
}

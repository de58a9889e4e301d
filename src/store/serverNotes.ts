/**
 * What was noted of servers and waits to be written, and how it meets what the index has of them.
 * When it is written, and in which transaction, is decided in storeIndex.ts.
 */
import type { ServerRecord } from "../block/ports.js";
import { LIMITS } from "../core/limits.js";
import type { IndexFile } from "./indexFile.js";
import { isServerAddress, mergeRecords, sensibleRecord } from "./serverRecords.js";

export type ServerRecords = ReadonlyMap<string, ServerRecord>;

export class ServerNotes {
  readonly #pending = new Map<string, ServerRecord>();

  get size(): number {
    return this.#pending.size;
  }

  /** Notes what makes sense; the rest is left out. */
  note(records: ServerRecords): void {
    const nowUnixMs = Date.now();
    for (const [address, given] of records) {
      const record = isServerAddress(address) ? sensibleRecord(given, nowUnixMs) : undefined;
      if (record) this.#pending.set(address, record);
    }
    // Else an index that fails for long would let it grow.
    for (const address of surplus(this.#pending)) this.#pending.delete(address);
  }

  /** What is known with what waits. @param stored what the index has */
  joinedWith(stored: ServerRecords): ServerRecords {
    const joined = new Map(stored);
    for (const [address, record] of this.#pending) {
      const known = joined.get(address);
      joined.set(address, known ? mergeRecords(known, record) : record);
    }
    return joined;
  }

  /** Writes what waits, merged with what other processes wrote. Cost: two statements a server. */
  writeTo(file: IndexFile): void {
    if (this.#pending.size === 0) return;
    const nowUnixMs = Date.now();
    for (const [address, record] of this.#pending) {
      const known = sensibleRecord(file.server(address), nowUnixMs);
      file.setServer(address, known ? mergeRecords(known, record) : record);
    }
    if (file.serverCount() <= LIMITS.store.maxServers) return;
    const kept = readServers(file);
    const gone = new Set(surplus(kept));
    for (const address of file.serverAddresses()) {
      // What cannot be read goes first.
      if (!kept.has(address) || gone.has(address)) file.removeServer(address);
    }
  }

  drop(addresses: readonly string[]): void {
    for (const address of addresses) this.#pending.delete(address);
  }

  clear(): void {
    this.#pending.clear();
  }
}

/** What the index has of all servers, without what is damaged or makes no sense. */
export function readServers(file: IndexFile): ServerRecords {
  const nowUnixMs = Date.now();
  const records = new Map<string, ServerRecord>();
  for (const address of file.serverAddresses()) {
    const record = isServerAddress(address)
      ? sensibleRecord(file.server(address), nowUnixMs)
      : undefined;
    if (record) records.set(address, record);
  }
  return records;
}

/** Those that are too many, the least recently asked ones. */
function surplus(records: ServerRecords): string[] {
  const count = records.size - LIMITS.store.maxServers;
  if (count <= 0) return [];
  const byAge = [...records].sort(([, a], [, b]) => a.askedUnixMs - b.askedUnixMs);
  return byAge.slice(0, count).map(([address]) => address);
}

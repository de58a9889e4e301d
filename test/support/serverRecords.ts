/** Records of servers, for tests that only care about a part of one. */
import type { ServerRecord } from "../../src/block/ports.js";

/** A good server, asked now unless said otherwise. */
export function serverRecord(parts: Partial<ServerRecord> = {}): ServerRecord {
  return {
    firstByteMs: 35.5,
    bytesPerSecond: 12_300_000,
    requestLimit: 4.25,
    failedFraction: 0.125,
    notFoundFraction: 0.5,
    blockCount: 1_234,
    lieCount: 0,
    banMs: 0,
    banEndUnixMs: 0,
    askedUnixMs: Date.now(),
    ...parts,
  };
}

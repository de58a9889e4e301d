/** What tests of the store share: folders that are removed after, blocks by number, and looking at the disk. */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { systemClock } from "../../src/core/clock.js";
import { createLogger, type Logger } from "../../src/core/log.js";
import { blockOf, type VerifiedBlock } from "../../src/block/verify.js";
import { openStore, type Store, type StoreOptions } from "../../src/store/openStore.js";

/** A block whose bytes follow from its number and length. */
export function makeBlock(number: number, sizeBytes = 1000): VerifiedBlock {
  const bytes = Buffer.alloc(sizeBytes);
  for (let offset = 0, i = 0; offset < sizeBytes; i += 1) {
    offset += createHash("sha512").update(`${number}/${i}`).digest().copy(bytes, offset);
  }
  return blockOf(bytes);
}

export interface LineLog extends Logger {
  readonly lines: string[];
}

export function createLineLog(): LineLog {
  const lines: string[] = [];
  return { lines, ...createLogger((level, message) => lines.push(`${level} ${message}`), "debug") };
}

/** Opens a store with the machine's clock, and closes it after the test. */
export async function openTestStore(
  t: CleanUpContext,
  path: string,
  options: Partial<StoreOptions> = {},
): Promise<Store> {
  const store = await openStore({ path, clock: systemClock, log: createLineLog(), ...options });
  cleanUp(t, () => store.close());
  return store;
}

/** Flips one bit in the middle of a file, where it lies. */
export async function flipBit(path: string): Promise<void> {
  const handle = await open(path, "r+");
  try {
    const { size } = await handle.stat();
    const byte = Buffer.alloc(1);
    const position = Math.floor(size / 2);
    await handle.read(byte, 0, 1, position);
    byte[0] = (byte[0] ?? 0) ^ 0x10;
    await handle.write(byte, 0, 1, position);
  } finally {
    await handle.close();
  }
}

/** What `du` says of the files in a folder. */
export async function diskUsage(folder: string): Promise<number> {
  let usedBytes = 0;
  for (const name of await readdir(folder)) {
    try {
      usedBytes += (await stat(join(folder, name))).blocks * 512;
    } catch {
      // Evicted between the two calls.
    }
  }
  return usedBytes;
}

export const isRoot = process.getuid?.() === 0;
export const hasStrace = existsSync("/usr/bin/strace");

/** A file of the user's that is open to be read, by calls that take turns. */
import { constants, type BigIntStats } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { LIMITS } from "../core/limits.js";
import type { SeedCalls } from "./seedCalls.js";

export interface SeedReader {
  stat(): Promise<BigIntStats>;
  /** Fills a part of the target from a position on, or less. @returns the bytes read; 0: the file ends before */
  read(target: Uint8Array, positionBytes: number): Promise<number>;
  /** Nobody waits for it: the file system may hang. */
  close(): void;
}

/** @throws the system error; as `SeedCalls.run` */
export async function openSeedFile(calls: SeedCalls, path: string): Promise<SeedReader> {
  // O_NONBLOCK: a FIFO that took the file's place would hold a thread until somebody writes to it.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
  let opening: Promise<FileHandle> | undefined;
  const closeIt = (handle: FileHandle): void => {
    calls.behind(path, () => handle.close());
  };
  try {
    const handle = await calls.run(path, () => (opening = open(path, flags)));
    return {
      stat: () => calls.run(path, () => handle.stat({ bigint: true })),
      read: (target, positionBytes) =>
        calls.run(path, async () => {
          const lengthBytes = Math.min(target.length, LIMITS.seeds.callBytes);
          return (await handle.read(target, 0, lengthBytes, positionBytes)).bytesRead;
        }),
      close: () => {
        closeIt(handle);
      },
    };
  } catch (error) {
    // One that was late is opened all the same.
    opening?.then(closeIt, () => undefined);
    throw error;
  }
}

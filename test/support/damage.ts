/** What a disk, a crash or a person can do to a file, chosen by dice. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { seededBytes, type Dice } from "./blocks.js";

type Damage = (path: string, dice: Dice) => void;

/** Changes bytes where they lie: the file stays the same one, and keeps its length. */
function overwrite(path: string, at: number, change: (bytes: Buffer) => void, count = 1): void {
  const file = openSync(path, "r+");
  try {
    const bytes = Buffer.alloc(count);
    const readBytes = readSync(file, bytes, 0, count, at);
    change(bytes);
    writeSync(file, bytes, 0, readBytes, at);
  } finally {
    closeSync(file);
  }
}

const sizeOf = (path: string): number => statSync(path).size;

/** How a block's file is damaged; each leaves other bytes than there were. */
export const BLOCK_DAMAGES: Readonly<Record<string, Damage>> = {
  "a flipped bit": (path, dice) => {
    overwrite(path, dice.roll(sizeOf(path)), (bytes) => {
      bytes[0] = (bytes[0] ?? 0) ^ (1 << dice.roll(8));
    });
  },
  "a cut": (path, dice) => {
    truncateSync(path, dice.roll(sizeOf(path)));
  },
  "no bytes": (path) => {
    truncateSync(path, 0);
  },
  "more bytes": (path, dice) => {
    truncateSync(path, sizeOf(path) + 1 + dice.roll(10_000));
  },
  "a torn write": (path, dice) => {
    const at = dice.roll(sizeOf(path));
    const sizeBytes = sizeOf(path);
    truncateSync(path, at);
    truncateSync(path, sizeBytes);
    // A block of which the rest was zeros already would be whole.
    overwrite(path, at, (bytes) => (bytes[0] = 1 + dice.roll(255)));
  },
};

const PAGE_BYTES = 4096;

/** How an index is damaged. `older` is a folder with a copy of it from before, with its log. */
export const INDEX_DAMAGES: Readonly<
  Record<string, (path: string, dice: Dice, older: string) => void>
> = {
  "random bytes": (path, dice) => {
    for (let nth = dice.roll(20); nth >= 0; nth -= 1) {
      const count = 1 + dice.roll(200);
      const bytes = seededBytes(dice.roll(1e9), count);
      overwrite(path, dice.roll(sizeOf(path)), (old) => bytes.copy(old), count);
    }
  },
  "a flipped bit": (path, dice) => {
    overwrite(path, dice.roll(sizeOf(path)), (bytes) => {
      bytes[0] = (bytes[0] ?? 0) ^ (1 << dice.roll(8));
    });
  },
  "a cut": (path, dice) => {
    truncateSync(path, dice.roll(sizeOf(path)));
  },
  "a page of zeros": (path, dice) => {
    const at = PAGE_BYTES * dice.roll(sizeOf(path) / PAGE_BYTES);
    overwrite(path, at, (bytes) => bytes.fill(0), PAGE_BYTES);
  },
  "swapped pages": (path, dice) => {
    const whole = readFileSync(path);
    const pageCount = Math.floor(whole.length / PAGE_BYTES);
    const [a, b] = [dice.roll(pageCount) * PAGE_BYTES, dice.roll(pageCount) * PAGE_BYTES];
    const copy = Buffer.from(whole);
    whole.copy(copy, a, b, b + PAGE_BYTES);
    whole.copy(copy, b, a, a + PAGE_BYTES);
    writeFileSync(path, copy);
  },
  // The header's user_version: https://www.sqlite.org/fileformat.html, 1.3.
  "another schema version": (path, dice) => {
    overwrite(path, 60, (bytes) => bytes.writeUInt32BE(3 + dice.roll(1000)), 4);
  },
  "no bytes": (path) => {
    truncateSync(path, 0);
  },
  "nothing at all": (path) => {
    rmSync(path);
  },
  "an old log": (path, _dice, older) => {
    copyFileSync(join(older, "index.db-wal"), `${path}-wal`);
    if (existsSync(join(older, "index.db-shm"))) {
      copyFileSync(join(older, "index.db-shm"), `${path}-shm`);
    }
  },
  "an old file beside its log": (path, _dice, older) => {
    copyFileSync(join(older, "index.db"), path);
  },
  "a damaged log": (path, dice, older) => {
    const log = readFileSync(join(older, "index.db-wal"));
    log[dice.roll(log.length)] = dice.roll(256);
    writeFileSync(`${path}-wal`, log.subarray(0, dice.roll(log.length)));
  },
  "no database": (path, dice) => {
    writeFileSync(path, seededBytes(dice.roll(1e9), dice.roll(20_000)));
  },
  "a folder": (path) => {
    rmSync(path);
    mkdirSync(path);
    writeFileSync(join(path, "file"), "");
  },
  "a folder in place of its log": (path) => {
    rmSync(`${path}-wal`, { force: true });
    mkdirSync(`${path}-wal`);
  },
  "a FIFO": (path) => {
    rmSync(path);
    execFileSync("mkfifo", [path]);
  },
  "a symlink to nowhere": (path) => {
    rmSync(path);
    symlinkSync(join(dirname(path), "nowhere", "index.db"), path);
  },
  "a symlink to itself": (path) => {
    renameSync(path, `${path}.away`);
    symlinkSync(path, path);
  },
};

/**
 * The tables of seeds in the index: which files of the user's were hashed, as they were then, and which block
 * begins where. Only hints: whoever reads a block there verifies it. Synchronous, a few rows a statement.
 */
import type Database from "better-sqlite3";
import type { BlockHash } from "../block/hash.js";
import type { SeedFile } from "../block/ports.js";

/**
 * A seed is a file cut into blocks of one size. The first `done_count` blocks of it are hashed, and
 * each read of them was right since. `listed` is 0, or the
 * round in which the list of the store had it last. A row without a path is gone: its blocks are removed a few
 * at a time, and its id is not given to another one before. mtimes are text, since they are beyond 2^53.
 *
 * A block that a file has several times has one row: a file of zeros would make the look-up of one hash long.
 */
export const SEED_SCHEMA = `
  CREATE TABLE seed (
    id INTEGER PRIMARY KEY,
    path TEXT,
    block_size_bytes INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns TEXT NOT NULL,
    done_count INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    UNIQUE (path, block_size_bytes)
  ) STRICT;
  CREATE INDEX seed_listed ON seed (id) WHERE listed > 0;
  CREATE INDEX seed_gone ON seed (id) WHERE path IS NULL;
  CREATE TABLE seed_block (
    seed INTEGER NOT NULL,
    block_index INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (seed, block_index)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX seed_block_by_hash ON seed_block (hash, seed);
  CREATE TABLE seed_list (stamp TEXT NOT NULL, round INTEGER NOT NULL) STRICT;
  INSERT INTO seed_list VALUES ('', 1);
`;

export interface SeedRow extends SeedFile {
  readonly id: number;
  readonly doneCount: number;
  readonly isListed: boolean;
}

/** Where a block is said to begin. */
export interface SeedPlace {
  readonly seed: SeedRow;
  readonly blockIndex: number;
}

export interface SeedRows {
  find(path: string, blockSizeBytes: number): SeedRow | undefined;
  /** The row of a file as it is now. One that was another then is gone, and this one is new, as listed as that. */
  begin(file: SeedFile): SeedRow;
  /** Names blocks of a file from an index on. What was said of these before is replaced. */
  addBlocks(file: SeedFile, firstIndex: number, hashes: readonly BlockHash[]): void;
  /**
   * Names blocks of a file that are read again, or for the first time. One that is not as it was said to be is not
   * taken for right: the file is what was exported, and may be it again.
   *
   * @returns false: there is such a block, and hashing has come no further than to it
   */
  confirmBlocks(file: SeedFile, firstIndex: number, hashes: readonly BlockHash[]): boolean;
  /** Says that a block was not where it is said to be: the file is to be hashed again from there. */
  doubt(place: SeedPlace): void;
  /** Whether hashing stands at a block that was not where it is said to be. */
  isDoubted(seed: SeedRow): boolean;
  /** The newest seeds first. @param count the most that are wanted */
  placesOf(hash: BlockHash, count: number): SeedPlace[];
  /** Listed rows with ids above the given one, in their order. */
  listedAfter(id: number, count: number): SeedRow[];
  /** Says that the list of the store has a file; makes its row where there is none. */
  list(file: SeedFile, round: number): void;
  /** What the list looked like when it was read last, and in which round. */
  listState(): { readonly stamp: string; readonly round: number };
  /** Ends a round: what was not listed in it is not in the list. */
  endRound(stamp: string, round: number): void;
  /** Makes the oldest rows go that are too many, listed ones not counted. @param count the most that go at once */
  trim(maxRemembered: number, count: number): void;
  /** Removes a few blocks of what is gone. @returns whether there may be more to remove */
  sweep(count: number): boolean;
}

interface StoredSeed {
  readonly id: number;
  readonly path: string;
  readonly blockSizeBytes: number;
  readonly sizeBytes: number;
  readonly mtimeNs: string;
  readonly doneCount: number;
  readonly listed: number;
}

const COLUMNS = `seed.id, path, block_size_bytes AS blockSizeBytes, size_bytes AS sizeBytes,
  mtime_ns AS mtimeNs, done_count AS doneCount, listed`;

export function prepareSeedRows(db: Database.Database): SeedRows {
  const one = db.prepare<[string, number], StoredSeed>(
    `SELECT ${COLUMNS} FROM seed WHERE path = ? AND block_size_bytes = ?`,
  );
  const drop = db.prepare<[number]>("UPDATE seed SET path = NULL, listed = 0 WHERE id = ?");
  const insert = db.prepare<[string, number, number, string, number], StoredSeed>(
    `INSERT INTO seed (path, block_size_bytes, size_bytes, mtime_ns, done_count, listed)
     VALUES (?, ?, ?, ?, 0, ?) RETURNING ${COLUMNS.replace("seed.id", "id")}`,
  );
  const addBlock = db.prepare<[number, number, Buffer]>(
    "INSERT OR REPLACE INTO seed_block (seed, block_index, hash) VALUES (?, ?, ?)",
  );
  const setDone = db.prepare<[number, number, number]>(
    // Where the index was made anew meanwhile, those before are not there.
    "UPDATE seed SET done_count = max(done_count, ?) WHERE id = ? AND done_count >= ?",
  );
  const lowerDone = db.prepare<[number, number]>(
    "UPDATE seed SET done_count = min(done_count, ?) WHERE id = ?",
  );
  const blockAt = db.prepare<[number, number], { readonly hash: Buffer }>(
    "SELECT hash FROM seed_block WHERE seed = ? AND block_index = ?",
  );
  const places = db.prepare<[Buffer, number], StoredSeed & { readonly blockIndex: number }>(
    `SELECT ${COLUMNS}, block_index AS blockIndex FROM seed_block JOIN seed ON seed.id = seed
     WHERE hash = ? AND path IS NOT NULL ORDER BY seed DESC LIMIT ?`,
  );
  const listed = db.prepare<[number, number], StoredSeed>(
    `SELECT ${COLUMNS} FROM seed WHERE id > ? AND listed > 0 ORDER BY id LIMIT ?`,
  );
  const setListed = db.prepare<[number, number]>("UPDATE seed SET listed = ? WHERE id = ?");
  const listState = db.prepare<[], { stamp: string; round: number }>(
    "SELECT stamp, round FROM seed_list",
  );
  const setListState = db.prepare<[string, number]>("UPDATE seed_list SET stamp = ?, round = ?");
  const unlist = db.prepare<[number]>("UPDATE seed SET listed = 0 WHERE listed > 0 AND listed < ?");
  const tooOld = db.prepare<[number, number], { id: number }>(
    `SELECT id FROM seed WHERE listed = 0 AND path IS NOT NULL ORDER BY id DESC LIMIT ? OFFSET ?`,
  );
  const gone = db.prepare<[], { id: number }>("SELECT id FROM seed WHERE path IS NULL LIMIT 1");
  const removeBlocks = db.prepare<[number, number, number]>(
    `DELETE FROM seed_block WHERE seed = ? AND block_index IN
     (SELECT block_index FROM seed_block WHERE seed = ? LIMIT ?)`,
  );
  const removeSeed = db.prepare<[number]>("DELETE FROM seed WHERE id = ?");

  const make = (file: SeedFile, round: number): SeedRow => {
    const { path, blockSizeBytes, sizeBytes, mtimeNs } = file;
    const row = insert.get(path, blockSizeBytes, sizeBytes, String(mtimeNs), round);
    if (row === undefined) throw new Error("the index gave no row for the one it took");
    return seedRow(row);
  };

  const begin = (file: SeedFile): SeedRow => {
    const stored = one.get(file.path, file.blockSizeBytes);
    if (stored === undefined) return make(file, 0);
    const row = seedRow(stored);
    if (isSameFile(row, file)) return row;
    drop.run(row.id);
    return make(file, stored.listed);
  };

  return {
    find: (path, blockSizeBytes) => {
      const row = one.get(path, blockSizeBytes);
      return row && seedRow(row);
    },
    begin,
    addBlocks: (file, firstIndex, hashes) => {
      const { id } = begin(file);
      hashes.forEach((hash, i) => addBlock.run(id, firstIndex + i, Buffer.from(hash, "hex")));
      setDone.run(firstIndex + hashes.length, id, firstIndex);
    },
    confirmBlocks: (file, firstIndex, hashes) => {
      const { id } = begin(file);
      let index = firstIndex;
      for (const hash of hashes) {
        const read = Buffer.from(hash, "hex");
        if (blockAt.get(id, index)?.hash.equals(read) === false) break;
        addBlock.run(id, index, read);
        index += 1;
      }
      setDone.run(index, id, firstIndex);
      return index === firstIndex + hashes.length;
    },
    doubt: ({ seed, blockIndex }) => void lowerDone.run(blockIndex, seed.id),
    isDoubted: ({ id, doneCount }) => blockAt.get(id, doneCount) !== undefined,
    placesOf: (hash, count) =>
      places
        .all(Buffer.from(hash, "hex"), count)
        .map(({ blockIndex, ...row }) => ({ seed: seedRow(row), blockIndex })),
    listedAfter: (id, count) => listed.all(id, count).map(seedRow),
    list: (file, round) => {
      const known = one.get(file.path, file.blockSizeBytes) ?? make(file, round);
      setListed.run(round, known.id);
    },
    listState: () => listState.get() ?? { stamp: "", round: 1 },
    endRound: (stamp, round) => {
      unlist.run(round);
      setListState.run(stamp, round);
    },
    trim: (maxRemembered, count) => {
      for (const { id } of tooOld.all(count, maxRemembered)) drop.run(id);
    },
    sweep: (count) => {
      const next = gone.get();
      if (next === undefined) return false;
      if (removeBlocks.run(next.id, next.id, count).changes === 0) removeSeed.run(next.id);
      return true;
    },
  };
}

function seedRow({ mtimeNs, listed, ...row }: StoredSeed): SeedRow {
  // What a flipped bit made of it is no time of any file.
  const isTime = /^-?\d{1,20}$/.test(mtimeNs);
  return { ...row, mtimeNs: isTime ? BigInt(mtimeNs) : -(2n ** 63n), isListed: listed > 0 };
}

/** Whether a file is as it was, as far as its size and mtime say. */
export function isSameFile(
  a: Pick<SeedFile, "sizeBytes" | "mtimeNs">,
  b: Pick<SeedFile, "sizeBytes" | "mtimeNs">,
): boolean {
  return a.sizeBytes === b.sizeBytes && a.mtimeNs === b.mtimeNs;
}

/** Blocks that a seed is cut into. */
export function seedBlockCount({ sizeBytes, blockSizeBytes }: SeedFile): number {
  return Math.ceil(sizeBytes / blockSizeBytes);
}

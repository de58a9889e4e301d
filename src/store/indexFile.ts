/**
 * The SQLite file of the index: its schema, its settings and its statements. Synchronous, and every
 * statement touches few rows: the thread that runs them is the one that answers the mount.
 * What to do when it fails is decided in indexConnection.ts. Besides it only seedRows.ts has statements.
 */
import { createHash } from "node:crypto";
import Database from "better-sqlite3";
import type { BlockHash } from "../block/hash.js";
import type { ServerRecord } from "../block/ports.js";
import type { CachedBlock } from "./evictionPolicy.js";
import { prepareSeedRows, SEED_SCHEMA, type SeedRows } from "./seedRows.js";

/** Stands in `user_version`. An index of any other version is set aside and made anew. */
const SCHEMA_VERSION = 3;

/**
 * `cached.use` is a counter, not a time: clocks of a machine jump, and a counter orders as well. Blocks
 * found by a scan count below zero: older than anything used since. The sum is kept by triggers, since
 * adding up half a million rows for each new block would take longer than writing it. `sum` is there because
 * SQLite has no checksums of its own: a flipped bit would be a wrong size of a file. `server.record` is JSON:
 * it is read and written whole, and nobody asks for a part of it. `note` has what a piece of psync wants to find
 * again, a text under its name; whoever reads one checks it.
 */
const SCHEMA = `
  CREATE TABLE cached (
    hash TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    use INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX cached_by_use ON cached (use);
  CREATE TABLE list_size (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    size_bytes INTEGER NOT NULL,
    sum TEXT NOT NULL
  ) STRICT;
  CREATE TABLE server (
    address TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    sum TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE total (cached_bytes INTEGER NOT NULL, scanned_boot TEXT NOT NULL) STRICT;
  INSERT INTO total VALUES (0, '');
  CREATE TRIGGER cached_added AFTER INSERT ON cached BEGIN
    UPDATE total SET cached_bytes = cached_bytes + new.size_bytes;
  END;
  CREATE TRIGGER cached_removed AFTER DELETE ON cached BEGIN
    UPDATE total SET cached_bytes = cached_bytes - old.size_bytes;
  END;
  ${SEED_SCHEMA}
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** Loads SQLite's native code, which nothing else does before a store is opened. @throws why it does not load */
export function loadSqlite(): void {
  new Database(":memory:").close();
}

/** The file is a database, but not one this version reads. */
export class OtherSchemaError extends Error {
  constructor(version: unknown) {
    super(`its schema is version ${String(version)}, not ${SCHEMA_VERSION}`);
    this.name = "OtherSchemaError";
  }
}

export interface IndexFile {
  readonly isOpen: boolean;
  /** Runs work in one transaction that holds the write lock from its start. */
  exclusively<T>(work: () => T): T;
  cachedBytes(): number;
  /** The boot in which the last scan of cache/ was finished; "" where there was none. */
  scannedBoot(): string;
  setScannedBoot(bootId: string): void;
  has(hash: BlockHash): boolean;
  /** @returns whether there is such a row */
  touch(hash: BlockHash): boolean;
  add(hash: BlockHash, sizeBytes: number): void;
  /** A block found by a scan; a row that is there stays. Higher ranks are older. */
  addFound(hash: BlockHash, sizeBytes: number, rank: number): void;
  remove(hash: BlockHash): void;
  /** Removes a row unless the block was used since. */
  removeUnused(block: CachedBlock): void;
  leastRecentFirst(): Iterable<CachedBlock>;
  /** Rows in the order of their hashes, from the first one after the given text. */
  cachedAfter(text: string, maxCount: number): readonly CachedBlock[];
  /** Gives a row another size, unless the block was used since. */
  resizeUnused(block: CachedBlock, sizeBytes: number): void;
  /** Adds up the sum anew. @returns whether it was another one. Cost: a look at each row. */
  recount(): boolean;
  note(name: string): string | undefined;
  setNote(name: string, value: string): void;
  /** The size as it was written, or undefined where a bit of its row is not as it was written. */
  listSize(digest: string): number | undefined;
  setListSize(digest: string, sizeBytes: number): void;
  trimListSizes(maxCount: number): void;
  serverCount(): number;
  serverAddresses(): string[];
  /** What was written of a server, unchecked but for its sum; undefined where a bit of it is not as it was written. */
  server(address: string): unknown;
  setServer(address: string, record: ServerRecord): void;
  /** @returns whether there was such a row */
  removeServer(address: string): boolean;
  readonly seeds: SeedRows;
  close(): void;
}

/**
 * Opens the file, and gives it its schema where it is empty.
 *
 * @param busyMs how long SQLite itself waits for another process, on the calling thread
 * @throws OtherSchemaError, or what better-sqlite3 throws; the file is closed then
 */
export function openIndexFile(path: string, busyMs: number): IndexFile {
  const db = new Database(path, { timeout: busyMs });
  try {
    applySettings(db);
    applySchema(db);
    return prepareStatements(db);
  } catch (error) {
    db.close();
    throw error;
  }
}

function applySettings(db: Database.Database): void {
  // Readers and the writer do not wait for each other: a mount reads on while a get writes.
  db.pragma("journal_mode = WAL");
  // No fsync a transaction, but one a checkpoint, each 1000 pages, about 250 cached blocks. A power cut may
  // lose the last transactions, never the order; a new boot means a new scan.
  db.pragma("synchronous = NORMAL");
  // Memory-mapped reads of a failing disk would end the process with SIGBUS instead of an error.
  db.pragma("mmap_size = 0");
  // A long reader can make the log grow; after the next checkpoint the file is cut to this.
  db.pragma("journal_size_limit = 4194304");
  // Damage in a page shows as an error at its first use, not as odd rows.
  db.pragma("cell_size_check = ON");
  // Few rows are hot; the memory belongs to the blocks. In KiB, when negative.
  db.pragma("cache_size = -2048");
}

function applySchema(db: Database.Database): void {
  const version = (): unknown => db.pragma("user_version", { simple: true });
  if (version() === SCHEMA_VERSION) return;
  const create = db.transaction(() => {
    // Two processes that open a new store come here at the same time; the second finds it done.
    if (version() === SCHEMA_VERSION) return;
    const tableCount = db
      .prepare<[], { n: number }>("SELECT count(*) AS n FROM sqlite_schema")
      .get();
    if (version() !== 0 || tableCount?.n !== 0) throw new OtherSchemaError(version());
    db.exec(SCHEMA);
  });
  create.immediate();
}

/** Preparing them all at once shows a missing table here and not at some later read. */
function prepareStatements(db: Database.Database): IndexFile {
  const total = db.prepare<[], { cached_bytes: number; scanned_boot: string }>(
    "SELECT cached_bytes, scanned_boot FROM total",
  );
  const setScanned = db.prepare<[string]>("UPDATE total SET scanned_boot = ?");
  const has = db.prepare<[string]>("SELECT 1 FROM cached WHERE hash = ?");
  const touch = db.prepare<[string]>(
    "UPDATE cached SET use = (SELECT max(0, max(use)) + 1 FROM cached) WHERE hash = ?",
  );
  const add = db.prepare<[string, number]>(
    `INSERT INTO cached (hash, size_bytes, use)
     VALUES (?, ?, (SELECT coalesce(max(0, max(use)), 0) + 1 FROM cached)) ON CONFLICT DO NOTHING`,
  );
  const addFound = db.prepare<[string, number, number]>(
    "INSERT INTO cached (hash, size_bytes, use) VALUES (?, ?, -?) ON CONFLICT DO NOTHING",
  );
  const remove = db.prepare<[string]>("DELETE FROM cached WHERE hash = ?");
  const removeUnused = db.prepare<[string, number]>(
    "DELETE FROM cached WHERE hash = ? AND use = ?",
  );
  const oldest = db.prepare<[], { hash: BlockHash; sizeBytes: number; use: number }>(
    "SELECT hash, size_bytes AS sizeBytes, use FROM cached ORDER BY use",
  );
  const cachedAfter = db.prepare<[string, number], CachedBlock>(
    "SELECT hash, size_bytes AS sizeBytes, use FROM cached WHERE hash > ? ORDER BY hash LIMIT ?",
  );
  const addAt = db.prepare<[string, number, number]>(
    "INSERT INTO cached (hash, size_bytes, use) VALUES (?, ?, ?)",
  );
  const recount = db.prepare(
    `UPDATE total SET cached_bytes = (SELECT coalesce(sum(size_bytes), 0) FROM cached)
     WHERE cached_bytes <> (SELECT coalesce(sum(size_bytes), 0) FROM cached)`,
  );
  const note = db.prepare<[string], { value: string }>("SELECT value FROM note WHERE name = ?");
  const setNote = db.prepare<[string, string]>(
    "INSERT OR REPLACE INTO note (name, value) VALUES (?, ?)",
  );
  const listSize = db.prepare<[string], { size_bytes: number; sum: string }>(
    "SELECT size_bytes, sum FROM list_size WHERE digest = ?",
  );
  const setListSize = db.prepare<[string, number, string]>(
    `INSERT INTO list_size (digest, size_bytes, sum) VALUES (?, ?, ?)
     ON CONFLICT (digest) DO UPDATE SET size_bytes = excluded.size_bytes, sum = excluded.sum`,
  );
  const trimListSizes = db.prepare<[number]>(
    "DELETE FROM list_size WHERE id <= (SELECT max(id) FROM list_size) - ?",
  );
  const serverCount = db.prepare<[], { n: number }>("SELECT count(*) AS n FROM server");
  const serverAddresses = db.prepare<[], { address: string }>("SELECT address FROM server");
  const server = db.prepare<[string], { record: string; sum: string }>(
    "SELECT record, sum FROM server WHERE address = ?",
  );
  const setServer = db.prepare<[string, string, string]>(
    "INSERT OR REPLACE INTO server (address, record, sum) VALUES (?, ?, ?)",
  );
  const removeServer = db.prepare<[string]>("DELETE FROM server WHERE address = ?");
  return {
    get isOpen() {
      return db.open;
    },
    exclusively: (work) => db.transaction(work).immediate(),
    cachedBytes: () => total.get()?.cached_bytes ?? 0,
    scannedBoot: () => total.get()?.scanned_boot ?? "",
    setScannedBoot: (bootId) => void setScanned.run(bootId),
    has: (hash) => has.get(hash) !== undefined,
    touch: (hash) => touch.run(hash).changes > 0,
    add: (hash, sizeBytes) => void add.run(hash, sizeBytes),
    addFound: (hash, sizeBytes, rank) => void addFound.run(hash, sizeBytes, rank),
    remove: (hash) => void remove.run(hash),
    removeUnused: (block) => void removeUnused.run(block.hash, block.use),
    // A generator: from the call of iterate() on the connection takes no other statement until the iterator
    // is ended, and one that nobody starts is never ended.
    *leastRecentFirst() {
      yield* oldest.iterate();
    },
    cachedAfter: (text, maxCount) => cachedAfter.all(text, maxCount),
    resizeUnused: ({ hash, use }, sizeBytes) => {
      // Not an update: the triggers that keep the sum hear of rows that come and go.
      if (removeUnused.run(hash, use).changes > 0) addAt.run(hash, sizeBytes, use);
    },
    recount: () => recount.run().changes > 0,
    note: (name) => note.get(name)?.value,
    setNote: (name, value) => void setNote.run(name, value),
    listSize: (digest) => {
      const row = listSize.get(digest);
      return row && row.sum === rowSum(digest, row.size_bytes) ? row.size_bytes : undefined;
    },
    setListSize: (digest, sizeBytes) =>
      void setListSize.run(digest, sizeBytes, rowSum(digest, sizeBytes)),
    trimListSizes: (maxCount) => void trimListSizes.run(maxCount),
    serverCount: () => serverCount.get()?.n ?? 0,
    serverAddresses: () => serverAddresses.all().map(({ address }) => address),
    server: (address) => {
      const row = server.get(address);
      return row && row.sum === rowSum(address, row.record) ? parseJson(row.record) : undefined;
    },
    setServer: (address, record) => {
      const text = JSON.stringify(record);
      setServer.run(address, text, rowSum(address, text));
    },
    removeServer: (address) => removeServer.run(address).changes > 0,
    seeds: prepareSeedRows(db),
    close: () => void db.close(),
  };
}

function rowSum(key: string, value: string | number): string {
  return createHash("sha256").update(`${key} ${value}`).digest("hex").slice(0, 16);
}

/** A text with the right sum that is no JSON was written by somebody else: not known, rather than a failing index. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Keeps the index file open, and keeps its failures away from the store: what is damaged is set aside and
 * made anew, what is locked is waited for in short turns, what cannot be opened is left alone for a while.
 * Knows nothing of what is in the tables.
 */
import { closeSync, existsSync, lstatSync, openSync, renameSync, rmSync } from "node:fs";
import { lstat } from "node:fs/promises";
import { pause } from "../core/abort.js";
import type { Clock } from "../core/clock.js";
import { errorMessage, systemErrorCode } from "../core/errors.js";
import { LIMITS } from "../core/limits.js";
import type { Logger } from "../core/log.js";
import { openIndexFile, OtherSchemaError, type IndexFile } from "./indexFile.js";
import { FILE_MODE, quarantinePath, type StoreLayout } from "./layout.js";
import { isFullDisk } from "./storeError.js";

export interface IndexConnectionOptions {
  readonly layout: StoreLayout;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with every file that was opened, before anything else is done with it. */
  readonly onOpened: (file: IndexFile) => void;
}

interface LoggedFailure {
  readonly message: string;
  readonly atMs: number;
  hasWorkedSince: boolean;
}

interface OpenIndex {
  readonly file: IndexFile;
  readonly inode: bigint;
}

export class IndexConnection {
  readonly #options: IndexConnectionOptions;
  readonly #closing = new AbortController();
  /** What was logged last of each thing that is done. */
  readonly #failures = new Map<string, LoggedFailure>();
  #open: OpenIndex | undefined;
  /** The file that was opened last, and the one that was found damaged, by their inodes. */
  #lastInode: bigint | undefined;
  #damagedInode: bigint | undefined;
  #remakeCount = 0;
  #retryAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: IndexConnectionOptions) {
    this.#options = options;
  }

  /**
   * Runs synchronous work on the file, opened, made or replaced first where that is needed.
   *
   * @param doing for the log: "cannot <doing> the index"
   * @returns what the work returns; undefined: the index does not answer, and the log says why
   * Cost: SQLite may hold this thread LIMITS.store.indexBusySliceMs for a lock; the call may wait indexBusyMs.
   */
  async run<T>(doing: string, work: (file: IndexFile) => T): Promise<T | undefined> {
    const { clock } = this.#options;
    const giveUpAtMs = clock.nowMs() + LIMITS.store.indexBusyMs;
    while (!this.#closing.signal.aborted) {
      try {
        const current = await this.#current();
        if (!current) return undefined;
        // Another call may have closed it before this one went on.
        if (!current.file.isOpen) continue;
        const result = work(current.file);
        const failure = this.#failures.get(doing);
        if (failure) failure.hasWorkedSince = true;
        return result;
      } catch (error) {
        if (!(await this.#mayTryAgain(doing, error, giveUpAtMs))) return undefined;
      }
    }
    return undefined;
  }

  /** Runs work that only reads, at once, on a file that is open already. */
  runNow<T>(doing: string, work: (file: IndexFile) => T): T | undefined {
    if (!this.#open?.file.isOpen) return undefined;
    try {
      return work(this.#open.file);
    } catch (error) {
      if (!isBusy(error)) this.#onFailure(doing, error);
      return undefined;
    }
  }

  close(): void {
    this.#closing.abort(new Error("the index is closed"));
    this.#closeFile();
  }

  async #mayTryAgain(doing: string, error: unknown, giveUpAtMs: number): Promise<boolean> {
    const { clock } = this.#options;
    const { signal } = this.#closing;
    if (!isBusy(error)) return !signal.aborted && this.#onFailure(doing, error);
    if (clock.nowMs() >= giveUpAtMs) {
      this.#warnOnce(doing, error);
      return false;
    }
    await pause(clock, LIMITS.store.indexBusyPauseMs, signal).catch(() => undefined);
    return !signal.aborted;
  }

  /** @returns whether the same can be tried at once, on a new file */
  #onFailure(doing: string, error: unknown): boolean {
    this.#warnOnce(doing, error);
    // A full disk damages nothing: the transaction was taken back.
    if (systemErrorCode(error) === "SQLITE_FULL") return false;
    this.#closeFile();
    if (isDamage(error) && this.#remakeCount < LIMITS.store.indexRemakeCount) {
      this.#damagedInode = this.#lastInode;
      return true;
    }
    this.#retryAtMs = this.#options.clock.nowMs() + LIMITS.store.indexRetryMs;
    return false;
  }

  /** The same failure comes with every block: once is enough until it has worked again, and then once a minute. */
  #warnOnce(doing: string, error: unknown): void {
    const { layout, clock, log } = this.#options;
    const message = isFullDisk(layout.index, error) ? "the disk is full" : errorMessage(error);
    const nowMs = clock.nowMs();
    const last = this.#failures.get(doing);
    const isOld = last?.hasWorkedSince === true && nowMs >= last.atMs + LIMITS.log.troubleMs;
    if (last?.message === message && !isOld) return;
    this.#failures.set(doing, { message, atMs: nowMs, hasWorkedSince: false });
    log.warn(`cannot ${doing} the index ${layout.index}: ${message}; blocks are read without it`);
  }

  async #current(): Promise<OpenIndex | undefined> {
    const known = this.#open;
    if (known && (await inodeOf(this.#options.layout.index)) !== known.inode) {
      // Deleted, or set aside by another process: what is written to this file, nobody reads.
      if (this.#open === known) this.#closeFile();
    }
    if (this.#open || this.#closing.signal.aborted) return this.#open;
    if (this.#options.clock.nowMs() < this.#retryAtMs) return undefined;
    return this.#openFile();
  }

  /** In one go, as SQLite itself is: between looking at the path and opening it nothing else here runs. */
  #openFile(): OpenIndex {
    const { layout, onOpened } = this.#options;
    this.#replaceUnusable();
    const { ino: inode } = lstatSync(layout.index, { bigint: true });
    this.#lastInode = inode;
    const file = openIndexFile(layout.index, LIMITS.store.indexBusySliceMs);
    try {
      onOpened(file);
    } catch (error) {
      file.close();
      throw error;
    }
    this.#open = { file, inode };
    return this.#open;
  }

  /**
   * Moves what is damaged, or no file at all, to quarantine/, and makes an empty file. What SQLite keeps
   * beside it goes before that, also where somebody has deleted the index: a new file must not meet an old log,
   * nor the shared memory of a process that still has the old file open. That process notices by
   * the inode; until then it writes for nothing, and its close leaves the new file's log alone
   * (native-notes/better-sqlite3.md, "A file that was moved").
   *
   * Where another process makes a new file at the same microsecond, its log may have gone here too; so its file goes
   * the same way, and at worst the index is made anew twice.
   */
  #replaceUnusable(): void {
    const { layout, log } = this.#options;
    for (let tries = 0; tries < LIMITS.store.indexRemakeCount; tries += 1) {
      this.#setAsideBeside();
      const present = lstatSync(layout.index, { bigint: true, throwIfNoEntry: false });
      if (present?.isFile() === true && present.ino !== this.#damagedInode) return;
      if (present) {
        const aside = quarantinePath(layout, "index.db");
        renameSync(layout.index, aside);
        this.#remakeCount += 1;
        log.warn(`the index was set aside to ${aside}, and is made anew from what lies in cache/`);
      }
      this.#damagedInode = undefined;
      const left = ["-shm", "-wal"]
        .map((end) => layout.index + end)
        .filter((path) => existsSync(path));
      for (const path of left) rmSync(path, { force: true });
      if (makeEmptyFile(layout.index) || left.length === 0) return;
      this.#damagedInode = lstatSync(layout.index, { bigint: true, throwIfNoEntry: false })?.ino;
    }
  }

  /** A symlink or a folder where SQLite wants a file of its own: it follows neither, and opens nothing. */
  #setAsideBeside(): void {
    const { layout, log } = this.#options;
    for (const suffix of ["-shm", "-wal", "-journal"]) {
      const path = layout.index + suffix;
      const present = lstatSync(path, { throwIfNoEntry: false });
      if (present === undefined || present.isFile()) continue;
      const aside = quarantinePath(layout, `index.db${suffix}`);
      renameSync(path, aside);
      log.warn(`${path} is not a file, and was set aside to ${aside}`);
    }
  }

  #closeFile(): void {
    const current = this.#open;
    this.#open = undefined;
    try {
      current?.file.close();
    } catch (error) {
      this.#options.log.debug(`closing the index: ${errorMessage(error)}`);
    }
  }
}

function isBusy(error: unknown): boolean {
  const code = systemErrorCode(error) ?? "";
  return code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED");
}

/** Whether the file itself is wrong, and not the disk, a lock or a permission. */
function isDamage(error: unknown): boolean {
  const code = systemErrorCode(error) ?? "";
  return (
    error instanceof OtherSchemaError ||
    code === "SQLITE_NOTADB" ||
    // A statement that does not fit the tables: the schema is not what its version says.
    code === "SQLITE_ERROR" ||
    code.startsWith("SQLITE_CORRUPT")
  );
}

/**
 * Makes the file for its mode: SQLite takes an empty file for a new database, and gives -wal and -shm its mode.
 *
 * Never on a file that is there, and in one go: closing any descriptor of a file drops all POSIX locks
 * that the process has on it (fcntl(2)), those of SQLite included.
 *
 * @returns false where there is one already
 */
function makeEmptyFile(path: string): boolean {
  try {
    closeSync(openSync(path, "wx", FILE_MODE));
    return true;
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
    return false;
  }
}

async function inodeOf(path: string): Promise<bigint | undefined> {
  try {
    return (await lstat(path, { bigint: true })).ino;
  } catch {
    return undefined;
  }
}

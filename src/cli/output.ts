/** What the commands write: data on stdout, everything else on stderr. */
import {
  ERROR_TABLE,
  errorMessage,
  isPsyncError,
  PsyncError,
  systemErrorCode,
} from "../core/errors.js";
import type { LostSeed } from "../compose.js";
import { createLogger, oneLine, type Logger, type LogLevel } from "../core/log.js";

export interface Verbosity {
  verbose?: boolean | undefined;
  quiet?: boolean | undefined;
}

/** What a shell shows for a program that wrote into a closed pipe. */
const CLOSED_PIPE_STATUS = 141;

/** Says what failed: `psync: what happened`, what explains it, and `hint: what to do`. */
export function showError(error: unknown, { quiet }: { readonly quiet: boolean }): void {
  if (isClosedPipe(error) || (quiet && isPsyncError(error, "ERR_PSYNC_INTERRUPTED"))) return;
  if (error instanceof Error && "syscall" in error) {
    // The system refused something that has no better name: a full disk behind stdout, for one.
    process.stderr.write(`psync: ${errorMessage(error)}\n`);
    return;
  }
  if (!isPsyncError(error)) {
    // Nothing psync knows: a fault of its own, and the stack tells where.
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`psync: internal error: ${stack}\n`);
    return;
  }
  const lines = [`psync: ${error.message}`, ...error.details.map((line) => `  ${line}`)];
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`);
  process.stderr.write(`${lines.join("\n")}\n`);
}

export function exitStatusOf(error: unknown): number {
  if (isPsyncError(error)) return ERROR_TABLE[error.code].exitCode;
  return isClosedPipe(error) ? CLOSED_PIPE_STATUS : 1;
}

function isClosedPipe(error: unknown): boolean {
  return systemErrorCode(error) === "EPIPE";
}

/** A log on stderr: `psync: message`, warnings and errors named as such. */
export function createStderrLogger({ verbose, quiet }: Verbosity): Logger {
  const lowest: LogLevel = quiet === true ? "error" : verbose === true ? "debug" : "info";
  const label: Readonly<Record<LogLevel, string>> = {
    debug: "",
    info: "",
    warn: "warning: ",
    error: "error: ",
  };
  return createLogger((level, message) => {
    process.stderr.write(`psync: ${label[level]}${oneLine(message)}\n`);
  }, lowest);
}

/**
 * Writes to stdout and waits until it is taken, so that a slow reader slows the writer down.
 *
 * @throws the stream's error; EPIPE where the reader has gone
 */
export function writeOut(data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

export async function writeJson(value: unknown): Promise<void> {
  await writeOut(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Rows as text in columns, each as wide as its widest cell. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const format = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return rows.map((row) => `${format(row)}\n`).join("");
}

/** Says of a file of `export --no-copy` why its blocks are lacking. */
export function lostSeedLine({ path, state }: LostSeed): string {
  const since = state === "not hashed" ? "not hashed yet" : `${state} since`;
  return oneLine(`exported without a copy, and ${since}: ${path}`);
}

/** The error that ends a command at Ctrl-C. */
export function interrupted(): PsyncError {
  return new PsyncError("ERR_PSYNC_INTERRUPTED", "interrupted");
}

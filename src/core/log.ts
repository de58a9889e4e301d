/**
 * The log as a port, and how a record looks as a line.
 * Where the lines go (stderr, a daemon's file, nowhere) is for whoever makes the logger.
 */

export type LogLevel = "debug" | "info" | "warn" | "error";

export interface Logger {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A logger that hands on records of the given level and above. */
export function createLogger(
  write: (level: LogLevel, message: string) => void,
  lowest: LogLevel = "info",
): Logger {
  const at = (level: LogLevel) => (message: string) => {
    if (RANK[level] >= RANK[lowest]) write(level, message);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** For pieces that are used without a log, and for tests. */
export const silentLogger: Logger = createLogger(() => undefined);

/** A message as one line of text: control characters are escaped, so that a name cannot forge a line. */
export function oneLine(message: string): string {
  return message.replace(
    // eslint-disable-next-line no-control-regex -- control characters are what it looks for
    /[\u0000-\u001f\u007f\u2028\u2029]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

/** What every command runs in: its settings, its log, and a signal that Ctrl-C aborts. */
import { setMaxListeners } from "node:events";
import type { ArgumentsCamelCase, Argv, CommandModule } from "yargs";
import { PsyncError } from "../core/errors.js";
import type { Logger } from "../core/log.js";
import { endNow } from "./endProcess.js";
import { createStderrLogger, interrupted, type Verbosity } from "./output.js";
import { resolveSettings, type Settings, type SettingsArguments } from "./settings.js";

/** The options that every command has. */
export interface GlobalArguments extends Verbosity {
  store?: string | undefined;
}

export interface CommandContext {
  readonly settings: Settings;
  readonly log: Logger;
  /** Aborted with ERR_PSYNC_INTERRUPTED at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const INTERRUPTED_STATUS = 130;

/** A command as a file of this folder says it: how it is called, and what it does with its arguments. */
export interface CommandSpec<Args extends GlobalArguments> {
  readonly command: string | readonly string[];
  readonly describe: string;
  readonly builder: (args: Argv<GlobalArguments>) => Argv<Args>;
  readonly run: (args: ArgumentsCamelCase<Args>, context: CommandContext) => Promise<void>;
}

/** Makes a yargs command whose work runs in a `CommandContext`. */
export function defineCommand<Args extends GlobalArguments>(
  spec: CommandSpec<Args>,
): CommandModule<GlobalArguments, Args> {
  const { command, describe, builder, run } = spec;
  return {
    command,
    describe,
    builder,
    handler: (args) => {
      refuseEmpty(args, positionalsOf(command));
      return runCommand(args, (context) => run(args, context));
    },
  };
}

/** Lists by path, as every command has them that walks folders; see `findLists`. */
export const listsOption = {
  type: "string",
  array: true,
  describe: "hashlist files, and folders with all lists in them",
} as const;

/** `--server`, as every command has it that asks servers. */
export const serverOption = {
  type: "string",
  array: true,
  requiresArg: true,
  nargs: 1,
  describe: "a server of blocks, repeatable [PSYNC_SERVERS, config.json]",
} as const;

/** `--cache-size`, as every command has it that caches what it fetches. */
export const cacheSizeOption = {
  type: "string",
  requiresArg: true,
  describe: "what fetched blocks may take of the disk [config.json, 10GiB]",
} as const;

/** `--min-free`, as every command has it that caches what it fetches. */
export const minFreeOption = {
  type: "string",
  requiresArg: true,
  describe: "what the cache leaves free of the disk: 20GiB, 10% [config.json, 5%]",
} as const;

/** `--explain`, as every command has it that fetches blocks by list. */
export const explainOption = {
  type: "boolean",
  describe: "say of each fetched block which servers were asked and what each did",
} as const;

/** `--limit-rate`, as every command has it that fetches for long. */
export const limitRateOption = {
  type: "string",
  requiresArg: true,
  describe:
    "bytes per second from all servers together, on average: 10MB/s, 500kB/s [config.json, no limit]",
} as const;

/** `--seed`, as every command has it that fetches for its reader. */
export const seedOption = {
  type: "string",
  array: true,
  requiresArg: true,
  nargs: 1,
  describe: "a file or folder of yours to take blocks from, repeatable [config.json]",
} as const;

/**
 * Runs a command's work. The first signal asks it to stop and clean up; the second one ends the process.
 *
 * @throws what the work throws, and ERR_PSYNC_USAGE for settings that mean nothing
 */
async function runCommand(
  args: GlobalArguments & SettingsArguments,
  work: (context: CommandContext) => Promise<void>,
): Promise<void> {
  refuseTwice(args);
  const settings = resolveSettings(args);
  const controller = new AbortController();
  // A command may wait for many things at once; each removes its listener when its wait is over.
  setMaxListeners(0, controller.signal);
  const onSignal = (): void => {
    if (controller.signal.aborted) endNow(INTERRUPTED_STATUS);
    controller.abort(interrupted());
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  // Without a listener a reader that goes away ends the process before the write can be rejected.
  process.stdout.on("error", () => undefined);
  try {
    await work({ settings, log: createStderrLogger(args), signal: controller.signal });
  } finally {
    for (const name of SIGNALS) process.removeListener(name, onSignal);
  }
}

/** The names in `mount <lists> <mountpoint>`. */
function positionalsOf(command: string | readonly string[]): ReadonlySet<string> {
  return new Set(
    [
      ...[command]
        .flat()
        .join(" ")
        .matchAll(/[<[](\w+)/g),
    ].map(([, name = ""]) => name),
  );
}

/** Nothing is named by an empty text; it comes of a variable of the shell that is not set, and would be this folder. */
function refuseEmpty(args: GlobalArguments, positionals: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(args)) {
    // yargs gives a long option also in camel case.
    if (/[A-Z]/.test(name) || ![value].flat().includes("")) continue;
    const shown = positionals.has(name) ? name : `${name.length === 1 ? "-" : "--"}${name}`;
    throw new PsyncError("ERR_PSYNC_USAGE", `${shown} is empty`, {
      hint: "leave it out, or say what it is; a variable of the shell may not be set",
    });
  }
}

/** What may be given several times; yargs makes an array of everything that is. */
const REPEATABLE: ReadonlySet<string> = new Set([
  "_",
  "server",
  "seed",
  "path",
  "source",
  "list",
  "forget",
  "lists",
  "keep",
]);

function refuseTwice(args: GlobalArguments): void {
  for (const [name, value] of Object.entries(args)) {
    if (!Array.isArray(value) || REPEATABLE.has(name)) continue;
    throw new PsyncError("ERR_PSYNC_USAGE", `--${name} is given more than once`, {
      hint: "say it once",
    });
  }
}

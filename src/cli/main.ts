/** The command line: which commands there are, and how a failure becomes a message and an exit status. */
import { createRequire } from "node:module";
import yargs from "yargs";
import { PsyncError } from "../core/errors.js";
import { catCommand } from "./catCommand.js";
import { checkCommand } from "./checkCommand.js";
import { doctorCommand } from "./doctorCommand.js";
import { exportCommand } from "./exportCommand.js";
import { fsckCommand } from "./fsckCommand.js";
import { gcCommand } from "./gcCommand.js";
import { getCommand } from "./getCommand.js";
import { glueCommand } from "./glueCommand.js";
import { infoCommand } from "./infoCommand.js";
import { mountCommand } from "./mountCommand.js";
import { exitStatusOf, showError } from "./output.js";
import { pinCommand } from "./pinCommand.js";
import { serveCommand } from "./serveCommand.js";
import { serversCommand } from "./serversCommand.js";
import { umountCommand } from "./umountCommand.js";
import { unpinCommand } from "./unpinCommand.js";

/** Runs one command line, without the program's name. @returns the exit status */
export async function main(args: readonly string[]): Promise<number> {
  let quiet = false;
  const parser = yargs(namesAfterDashes(args))
    .scriptName("psync")
    .usage(
      "$0 COMMAND\n\nMounts hashlists as files, each block verified, from servers that need not be trusted.",
    )
    .locale("en")
    .parserConfiguration({ "duplicate-arguments-array": true, "boolean-negation": false })
    .option("store", {
      type: "string",
      requiresArg: true,
      describe: "folder of the blocks [PSYNC_STORE, ~/.psync]",
    })
    .option("verbose", { alias: "v", type: "boolean", describe: "say more, on stderr" })
    .option("quiet", { alias: "q", type: "boolean", describe: "say only what failed" })
    .command(exportCommand)
    .command(mountCommand)
    .command(umountCommand)
    .command(serveCommand)
    .command(getCommand)
    .command(glueCommand)
    .command(catCommand)
    .command(infoCommand)
    .command(checkCommand)
    .command(pinCommand)
    .command(unpinCommand)
    .command(gcCommand)
    .command(serversCommand)
    .command(fsckCommand)
    .command(doctorCommand)
    .demandCommand(1, 1, "name a command", "name one command")
    .strict()
    .version(packageVersion())
    .alias("help", "h")
    // Examples that are broken in the middle cannot be copied.
    .wrap(null)
    .exitProcess(false)
    .middleware((argv) => {
      quiet = argv["quiet"] === true;
    })
    .fail((message, error: Error | undefined) => {
      // yargs gives the error that a command threw, or one of its own; else a message of what is wrong.
      throw error && error.name !== "YError" ? error : usageError(error?.message ?? message);
    });
  try {
    await parser.parseAsync();
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (error) {
    showError(error, { quiet });
    return exitStatusOf(error);
  }
}

/** What follows `--` is a name, also where it begins with a dash; yargs would leave it out of the positionals. */
function namesAfterDashes(args: readonly string[]): string[] {
  const end = args.indexOf("--");
  if (end < 0) return [...args];
  const names = args.slice(end + 1).map((name) => (/^-./.test(name) ? `./${name}` : name));
  return [...args.slice(0, end), ...names];
}

function usageError(message: string): PsyncError {
  const hint = "`psync --help` lists the commands, `psync COMMAND --help` explains one";
  return new PsyncError("ERR_PSYNC_USAGE", message.replaceAll("\n", "; "), { hint });
}

function packageVersion(): string {
  const { version } = createRequire(import.meta.url)("../../../package.json") as {
    version: string;
  };
  return version;
}

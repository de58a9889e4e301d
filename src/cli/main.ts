/** The command line: which commands there are, and how a failure becomes a message and an exit status. */
import { createRequire } from "node:module";
import yargs from "yargs";
import { PsyncError } from "../core/errors.js";
import { catCommand } from "./catCommand.js";
import { doctorCommand } from "./doctorCommand.js";
import { exportCommand } from "./exportCommand.js";
import { getCommand } from "./getCommand.js";
import { glueCommand } from "./glueCommand.js";
import { infoCommand } from "./infoCommand.js";
import { mountCommand } from "./mountCommand.js";
import { exitStatusOf, showError } from "./output.js";
import { serveCommand } from "./serveCommand.js";
import { umountCommand } from "./umountCommand.js";

/** Runs one command line, without the program's name. @returns the exit status */
export async function main(args: readonly string[]): Promise<number> {
  let quiet = false;
  const parser = yargs([...args])
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
    .command(doctorCommand)
    .demandCommand(1, 1, "name a command", "name one command")
    .strict()
    .version(packageVersion())
    .alias("help", "h")
    .wrap(Math.min(100, process.stdout.columns || 100))
    .exitProcess(false)
    .middleware((argv) => {
      quiet = argv["quiet"] === true;
    })
    .fail((message, error) => {
      // yargs gives an error where a command threw, and a message where the arguments were wrong.
      throw (error as Error | undefined) ?? usageError(message);
    });
  try {
    await parser.parseAsync();
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (error) {
    showError(error, { quiet });
    return exitStatusOf(error);
  }
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

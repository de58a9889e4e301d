/** `psync umount`: takes a psync mount down. */
import { systemClock } from "../core/clock.js";
import { PsyncError } from "../core/errors.js";
import { defineCommand } from "./run.js";

export const umountCommand = defineCommand({
  command: "umount <mountpoint>",
  describe: "Unmount, and wait until it is gone",
  builder: (args) =>
    args
      .positional("mountpoint", { type: "string", demandOption: true, describe: "where it is" })
      .option("lazy", {
        type: "boolean",
        describe: "take it out of the tree at once, also while files are open in it",
      })
      .example("psync umount /mnt/psync", "says which process holds it open, if one does"),
  run: async (args, { log }) => {
    const { findMount } = await import("../core/mountTable.js");
    const { mountPathOf } = await import("../mount/mountPath.js");
    const { unmountPath } = await import("../mount/unmount.js");
    const mountpoint = await mountPathOf(args.mountpoint);
    if (!(await findMount(mountpoint))) {
      throw new PsyncError("ERR_PSYNC_MOUNT", `nothing is mounted at ${mountpoint}`, {
        hint: "`findmnt -t fuse.psync` shows what psync has mounted",
      });
    }
    await unmountPath(mountpoint, { lazy: args.lazy === true, clock: systemClock });
    log.info(`${mountpoint} is unmounted`);
  },
});

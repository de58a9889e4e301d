/**
 * Whether a file or folder is this user's alone. What somebody else can change is not written to: he could put
 * other names in the place of those that were just looked at.
 */
import type { Stats } from "node:fs";

const OTHERS_MAY_WRITE = 0o022;

export interface Foreignness {
  /** As in "<path> <what>". */
  readonly what: string;
  /** The command that mends it, without the path. */
  readonly mend: string;
}

/**
 * What stands against writing to something.
 *
 * @param stats of what a symlink leads to, since a symlink's own mode says nothing
 * @returns undefined: it belongs to the user who runs this process, and nobody else may write to it
 */
export function foreignness(stats: Pick<Stats, "uid" | "mode">): Foreignness | undefined {
  const uid = process.geteuid?.() ?? stats.uid;
  if (stats.uid !== uid) {
    return {
      what: `belongs to user ${stats.uid}, and psync runs as user ${uid}`,
      mend: `chown -R ${uid}`,
    };
  }
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0) {
    const mode = (stats.mode & 0o7777).toString(8).padStart(4, "0");
    return { what: `can be written by others, its mode is ${mode}`, mend: "chmod go-w" };
  }
  return undefined;
}

/** A mountpoint as the kernel's table names it, found without asking the mount: it may be dead, or hang. */
import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { findMount } from "../core/mountTable.js";

/** The absolute path without symlinks of a mountpoint, or of a folder that is to become one. */
export async function mountPathOf(path: string): Promise<string> {
  const absolute = resolve(path);
  const parent = await realpath(dirname(absolute)).catch(() => dirname(absolute));
  const likely = join(parent, basename(absolute));
  if (await findMount(likely)) return likely;
  // Only a symlink to the mountpoint needs to be followed through its last name.
  return realpath(absolute).catch(() => likely);
}

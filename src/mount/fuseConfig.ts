/** What the machine's own FUSE configuration allows. */
import { readFile } from "node:fs/promises";

export const FUSE_CONFIG_PATH = "/etc/fuse.conf";

/** Whether users other than root may mount for others. Source: mount.fuse3(8), user_allow_other. */
export async function userAllowOther(): Promise<boolean> {
  const config = await readFile(FUSE_CONFIG_PATH, "utf8").catch(() => "");
  return /^\s*user_allow_other\b/m.test(config);
}

/** A folder as it is, to be compared with what it was. */
import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

/** Every path below a folder with its kind, mode, inode, times and bytes. */
export async function snapshot(folder: string): Promise<ReadonlyMap<string, string>> {
  const seen = new Map<string, string>();
  const walk = async (below: string): Promise<void> => {
    const path = join(folder, below);
    const stats = await lstat(path, { bigint: true });
    const { mode, ino, size, mtimeNs } = stats;
    const bytes = stats.isSymbolicLink()
      ? await readlink(path)
      : stats.isFile()
        ? createHash("sha256")
            .update(await readFile(path))
            .digest("hex")
        : "";
    // The times of the top folder change where a file of it came and went.
    const times = below === "" ? "" : `${mtimeNs}`;
    seen.set(below, `${mode} ${ino} ${stats.isFile() ? size : ""} ${times} ${bytes}`);
    if (stats.isDirectory()) for (const name of await readdir(path)) await walk(join(below, name));
  };
  await walk("");
  return seen;
}

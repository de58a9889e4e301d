/** Disks that a test mounts, which only root can: a small tmpfs to fill, free and turn read-only, and one with huge inode numbers. */
import { execFile } from "node:child_process";
import { mkdir, open, readdir, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { isRoot } from "./storeFixtures.js";
import { tempFolder } from "./tempFolder.js";

const run = promisify(execFile);

/** For `skip`: why there can be no small disk here. */
export const noSmallDisk = isRoot ? false : "needs root, to mount a tmpfs";

export interface SmallDisk {
  /** Of a store on it. Not its root: what fills the disk would lie in the store. */
  readonly store: string;
  /** Leaves so many bytes free, whatever is there. */
  fill(leaveBytes?: number): Promise<void>;
  /** Gives back what `fill` and `useInodes` took. */
  free(): Promise<void>;
  /** Makes empty files until there can be no more. */
  useInodes(): Promise<void>;
  remount(option: "ro" | "rw"): Promise<void>;
}

/** Mounts a disk until the test ends. @param options of tmpfs(5), as `size=8m` */
export async function mountSmallDisk(t: CleanUpContext, options = "size=8m"): Promise<SmallDisk> {
  const disk = join(await tempFolder(t), "disk");
  await mkdir(disk);
  await run("mount", ["-t", "tmpfs", "-o", `mode=700,${options}`, "psync-test", disk]);
  // Lazy, since a failed test may have left files open.
  cleanUp(t, () => run("umount", ["--lazy", disk]));
  const ballast = join(disk, "ballast");
  await mkdir(ballast);
  return {
    store: join(disk, "store"),
    async fill(leaveBytes = 0) {
      await rm(join(ballast, "large"), { force: true });
      const { bavail, bsize } = await statfs(disk);
      const handle = await open(join(ballast, "large"), "w");
      try {
        await handle.writeFile(Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
      } finally {
        await handle.close();
      }
    },
    async free() {
      for (const name of await readdir(ballast)) await rm(join(ballast, name));
    },
    async useInodes() {
      for (let number = 0; ; number += 1) {
        try {
          await (await open(join(ballast, `${number}`), "w")).close();
        } catch {
          return;
        }
      }
    },
    async remount(option) {
      await run("mount", ["-o", `remount,${option}`, disk]);
    },
  };
}

/**
 * A folder with folders whose inode numbers are above 2^53 and close together, as an overlay that joins two file systems
 * gives them (Linux' Documentation/filesystems/overlayfs.rst, "Inode properties": xino).
 */
export async function largeInodesFolder(
  t: CleanUpContext,
  names: readonly string[],
): Promise<string> {
  const [lower, upper] = [await tempFolder(t), (await mountSmallDisk(t)).store];
  const folder = join(await tempFolder(t), "joined");
  for (const name of names) await mkdir(join(lower, name));
  for (const path of [folder, join(upper, "upper"), join(upper, "work")]) {
    await mkdir(path, { recursive: true });
  }
  const layers = `lowerdir=${lower},upperdir=${join(upper, "upper")},workdir=${join(upper, "work")}`;
  await run("mount", ["-t", "overlay", "-o", `${layers},xino=on`, "psync-test", folder]);
  cleanUp(t, () => run("umount", ["--lazy", folder]));
  return folder;
}

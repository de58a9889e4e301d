/**
 * A small ext4 on a loop device whose power can be cut: after that nothing reaches it any more, not even the journal
 * that is in memory (EXT4_IOC_SHUTDOWN, ext4(5) in Linux' fs/ext4/ext4.h), and the next mount replays what is there.
 */
import { execFile } from "node:child_process";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { errorMessage } from "../../src/core/errors.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { tempFolder } from "./tempFolder.js";
import { until } from "./until.js";

const run = promisify(execFile);

/** _IOR('X', 125, __u32), and EXT4_GOING_FLAGS_NOLOGFLUSH. Node has no ioctl; perl is in every Debian. */
const SHUTDOWN = `
  open(my $folder, "<", $ARGV[0]) or die "open: $!";
  my $flags = pack("L", 2);
  ioctl($folder, 0x8004587D, $flags) or die "ioctl: $!";
`;

export interface Ext4Image {
  readonly folder: string;
  cutPower(): Promise<void>;
  /** Unmounts and mounts again. Whoever had files open there must have ended. */
  remount(): Promise<void>;
}

/** Makes and mounts one, which is unmounted and detached when the test ends. @throws where that is not to be had */
export async function mountExt4Image(t: CleanUpContext, sizeMib: number): Promise<Ext4Image> {
  const parent = await tempFolder(t);
  const image = join(parent, "image");
  const folder = join(parent, "disk");
  await mkdir(folder);
  const file = await open(image, "wx");
  await file.truncate(sizeMib * 1024 * 1024);
  await file.close();
  await run("mkfs.ext4", ["-q", "-F", image]);
  // With -o loop the kernel detaches the device at the unmount.
  const mount = (): Promise<unknown> => run("mount", ["-o", "loop", image, folder]);
  const unmount = async (): Promise<void> => {
    if (!(await isMounted(folder))) return;
    // A process that was killed may hold it for a moment more.
    await until("the disk is unmounted", () =>
      run("umount", [folder]).then(
        () => true,
        () => false,
      ),
    );
  };
  cleanUp(t, unmount);
  await mount();
  return {
    folder,
    cutPower: async () => {
      await run("perl", ["-e", SHUTDOWN, folder]);
    },
    remount: async () => {
      await unmount();
      await mount();
    },
  };
}

async function isMounted(folder: string): Promise<boolean> {
  return (await readFile("/proc/self/mounts", "utf8")).includes(` ${folder} `);
}

/** Why there can be no such disk, as a first one shows; false where there can. */
export async function noExt4Reason(): Promise<string | false> {
  if (process.getuid?.() !== 0) return "needs root, to mount a loop device";
  const ends: (() => unknown)[] = [];
  try {
    const image = await mountExt4Image({ after: (end) => ends.push(end as () => unknown) }, 8);
    await image.cutPower();
    await image.remount();
    return false;
  } catch (error) {
    return `no ext4 on a loop device can be had: ${errorMessage(error)}`;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** This process's descriptors of /dev/fuse. While one is open, in any process, its mount is not dead. */
import { readdir, readlink } from "node:fs/promises";

const DEVICE = "/dev/fuse";

/** All of them; each mount has one. */
export async function deviceFds(): Promise<number[]> {
  const fds = (await readdir("/proc/self/fd")).map(Number);
  const held = await Promise.all(fds.map(isDeviceFd));
  return fds.filter((_, index) => held[index]);
}

/** Whether the descriptor is open and is one of the device. */
export async function isDeviceFd(fd: number): Promise<boolean> {
  return (await readlink(`/proc/self/fd/${fd}`).catch(() => "")) === DEVICE;
}

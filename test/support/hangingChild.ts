/** A process that mounts a file system that is not psync's, with one file; stopped, it hangs. Used as a child of tests. */
import { createRequire } from "node:module";

interface FuseNative {
  new (
    mountpoint: string,
    handlers: Readonly<Record<string, unknown>>,
    options: Readonly<Record<string, unknown>>,
  ): { mount(callback: (error?: Error | null) => void): void };
}

type Answer = (errno: number, value?: unknown) => void;

const NOT_FOUND = -2;
const [, , mountpoint = "", size = "0"] = process.argv;
const Fuse = createRequire(import.meta.url)("fuse-native") as FuseNative;
const bytes = Buffer.alloc(Number(size), "a file on a file system that may hang\n");
const at = new Date(1_000_000);

function stats(path: string): unknown {
  const times = { mtime: at, atime: at, ctime: at, nlink: 1, uid: 0, gid: 0 };
  if (path === "/") return { ...times, mode: 0o40755, size: 4096 };
  return path === "/file" ? { ...times, mode: 0o100644, size: bytes.length } : undefined;
}

const handlers = {
  getattr: (path: string, answer: Answer) => {
    const found = stats(path);
    answer(found === undefined ? NOT_FOUND : 0, found);
  },
  readdir: (_: string, answer: Answer) => {
    answer(0, ["file"]);
  },
  open: (_: string, flags: number, answer: Answer) => {
    answer(0, flags);
  },
  read: (
    _: string,
    fd: number,
    target: Buffer,
    length: number,
    position: number,
    answer: Answer,
  ) => {
    answer(bytes.copy(target, 0, position, Math.min(bytes.length, position + length)), fd);
  },
  release: (_: string, fd: number, answer: Answer) => {
    answer(0, fd);
  },
};

new Fuse(mountpoint, handlers, { force: false }).mount((error) => {
  if (error) throw error;
  process.stdout.write("mounted\n");
});

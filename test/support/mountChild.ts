/** A process that mounts one file and says so; it ends by itself once the mount is gone. Used as a child of tests. */
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { createFuseNativeDriver } from "../../src/mount/driver/fuseNative.js";
import { MemoryFileSystem } from "./memoryFileSystem.js";

const [, , mountpoint = ""] = process.argv;
const files = new MemoryFileSystem();
files.put("/a", "from the child");
const driver = createFuseNativeDriver({ clock: systemClock, log: silentLogger });
const mount = await driver.mount(files, { mountpoint, sourceName: "child", allowOther: false });
process.stdout.write("mounted\n");
// Told so by a signal, the next open shows a changed file, and once the rename for it is sent nothing is answered any more.
process.on("SIGUSR2", () => {
  const open = files.open.bind(files);
  files.open = (path) => {
    files.put(path, "changed");
    return open(path);
  };
  // What was opened is given back when the open can be answered: when the rename is on its way.
  files.release = () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
});
await mount.closed;
process.stdout.write("closed\n");

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
// Told so by a signal, the file changes while a read of the old version never ends.
process.on("SIGUSR2", () => {
  files.put("/a", "changed");
  files.onRead = () => new Promise(() => undefined);
});
await mount.closed;
process.stdout.write("closed\n");

/**
 * The one list of mount options that psync gives libfuse.
 * fuse-native joins options with commas and libfuse takes what it does not know as a reason to fail after mounting,
 * so that nothing a user wrote may be read as an option.
 */
import { PsyncError } from "../../core/errors.js";
import { LIMITS } from "../../core/limits.js";
import type { MountOptions } from "./port.js";

/** fuse-native copies the path and the options into 1,024 bytes each, and cuts off what is longer. */
const MAX_NATIVE_BYTES = 1022;

/**
 * @returns the text for libfuse's command line, `-o…`
 * @throws ERR_PSYNC_MOUNT the name or the path cannot be passed on as it is
 */
export function nativeOptions(options: MountOptions): string {
  refuse(options.mountpoint, /\0/, "the mountpoint has a NUL byte");
  refuse(options.sourceName, /[,\\\0]/, "the source name has a comma, a backslash or a NUL byte");
  if (Buffer.byteLength(options.mountpoint) > MAX_NATIVE_BYTES) {
    throw mountError(
      "the mountpoint's path is too long",
      `use one of at most ${MAX_NATIVE_BYTES} bytes`,
    );
  }
  const validSeconds = LIMITS.mount.attributesValidMs / 1000;
  const list = [
    `fsname=${options.sourceName}`,
    "subtype=psync",
    "use_ino",
    // Pages stay when a file is opened again; a changed file gets a new node, so they are never stale.
    "kernel_cache",
    `attr_timeout=${validSeconds}`,
    `entry_timeout=${validSeconds}`,
    `negative_timeout=${validSeconds}`,
    ...(options.allowOther ? ["allow_other"] : []),
  ].join(",");
  if (Buffer.byteLength(list) + 2 > MAX_NATIVE_BYTES) {
    throw mountError("the source name is too long", "use a shorter one");
  }
  return `-o${list}`;
}

function refuse(text: string, pattern: RegExp, message: string): void {
  if (pattern.test(text)) throw mountError(message, "use a name without it");
}

function mountError(message: string, hint: string): PsyncError {
  return new PsyncError("ERR_PSYNC_MOUNT", message, { hint });
}

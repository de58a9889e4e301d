/**
 * Renames one name of a mount, in a process of its own that the mount's process starts.
 *
 * The calls wait for the answers of that process. A thread of it would not do: killed while a thread waits for its own
 * mount, a process never ends and the mount hangs with it. Source: native-notes/fuse-native.md, own mount.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, renameSync } from "node:fs";
import { errorMessage, systemErrorCode } from "../../core/errors.js";

/** First `prepare`, then `rename` or `cancel`; each is answered before the next is sent. */
export type RenameRequest =
  | {
      readonly step: "prepare";
      readonly folder: string;
      readonly name: string;
      /** The `st_dev` of our mount; a folder on any other device is left alone. */
      readonly device: number;
    }
  | { readonly step: "rename"; readonly name: string; readonly hiddenName: string }
  | { readonly step: "cancel" };

/** What became of a step: undefined when it succeeded. */
export interface RenameReply {
  readonly error: string | undefined;
}

let folderFd: number | undefined;

function closeFolder(): void {
  if (folderFd !== undefined) closeSync(folderFd);
  folderFd = undefined;
}

/** The name in the folder that is open, wherever the folder's path may lead by now. Source: proc_pid_fd(5). */
function entryPath(name: string): string {
  if (folderFd === undefined) throw new Error("no folder is open");
  return `/proc/self/fd/${folderFd}/${name}`;
}

/**
 * Makes the kernel look the name up now, so that it does not have to for the rename.
 * An exclusive creation does that even while the kernel still believes the name; `stat` would not.
 */
function refresh(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return;
    throw error;
  }
  throw new Error("the mount let a folder be made");
}

function take(request: RenameRequest): void {
  switch (request.step) {
    case "prepare":
      closeFolder();
      folderFd = openSync(
        request.folder,
        constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
      );
      if (fstatSync(folderFd).dev !== request.device) {
        throw new Error("the folder is not on the mount any more");
      }
      refresh(entryPath(request.name));
      return;
    case "rename":
      renameSync(entryPath(request.name), entryPath(request.hiddenName));
      closeFolder();
      return;
    case "cancel":
      closeFolder();
      return;
  }
}

process.on("message", (message) => {
  let error: string | undefined;
  try {
    take(message as RenameRequest);
  } catch (thrown) {
    error = errorMessage(thrown);
    closeFolder();
  }
  process.send?.({ error } satisfies RenameReply);
});

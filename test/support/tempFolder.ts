/** Folders of a test, which are gone after it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";

/** A new folder, removed with all that is in it when the test ends, however it ends. */
export async function tempFolder(context: CleanUpContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "psync-test-"));
  cleanUp(context, () => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

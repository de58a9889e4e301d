/** The end of the process. process.exit waits for libuv's threads, and one in a file call that hangs does not come back. */
import { setTimeout as sleep } from "node:timers/promises";

const LOOKS = 100;
const LOOK_MS = 10;

/** Ends the process with this status, after a second by a signal where a file call hangs: there is no other way then. */
export async function endProcess(status: number): Promise<never> {
  // Of what was begun and is not waited for, most is done in a moment.
  for (let looks = 0; hasFileCalls() && looks < LOOKS; looks += 1) await sleep(LOOK_MS);
  return endNow(status);
}

/** The same at once. */
export function endNow(status: number): never {
  if (hasFileCalls()) {
    process.stderr.write("psync: a file call does not return; ending without it\n");
    process.removeAllListeners("SIGTERM");
    process.kill(process.pid, "SIGTERM");
  }
  // Not only `exitCode`: a stdin that nobody closes would keep the process.
  process.exit(status);
}

function hasFileCalls(): boolean {
  return process.getActiveResourcesInfo().some((name) => /^(FSReq|FileHandleCloseReq)/.test(name));
}

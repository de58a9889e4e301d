#!/usr/bin/env node
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { main } from "../dist/src/cli/main.js";

const INTERRUPTED = 130;

// Blocks lie outside of V8's heap, and every 64 MiB of them make it collect. Marking on other threads then takes more
// of them than all other work, for a heap that is small; native-notes/node.md has what was measured.
setFlagsFromString("--no-concurrent-marking");

const status = await main(process.argv.slice(2));
// A file call that hangs, on a pipe nobody writes to for one, would hold up the exit: its thread is waited for.
const hasFileCalls = () => process.getActiveResourcesInfo().some((name) => /^FSReq/.test(name));
for (let looks = 0; status === INTERRUPTED && hasFileCalls(); looks += 1) {
  if (looks === 20) process.kill(process.pid, "SIGTERM");
  await sleep(50);
}
// Not only `exitCode`: a stdin that nobody closes would keep the process.
process.exit(status);

#!/usr/bin/env node
import { main } from "../dist/src/cli/main.js";

const INTERRUPTED = 130;

const status = await main(process.argv.slice(2));
// A file call that hangs, on a pipe nobody writes to for one, would hold up the exit: its thread is waited for.
if (
  status === INTERRUPTED &&
  process.getActiveResourcesInfo().some((name) => /^FSReq/.test(name))
) {
  process.kill(process.pid, "SIGTERM");
}
// Not only `exitCode`: a stdin that nobody closes would keep the process.
process.exit(status);

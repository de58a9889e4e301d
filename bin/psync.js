#!/usr/bin/env node
import { setFlagsFromString } from "node:v8";
import { endProcess } from "../dist/src/cli/endProcess.js";
import { main } from "../dist/src/cli/main.js";

// Blocks lie outside of V8's heap, and every 64 MiB of them make it collect. Marking on other threads then takes more
// of them than all other work, for a heap that is small; native-notes/node.md has what was measured.
setFlagsFromString("--no-concurrent-marking");

await endProcess(await main(process.argv.slice(2)));

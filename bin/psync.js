#!/usr/bin/env node
import { main } from "../dist/src/cli/main.js";

// Not only `exitCode`: a stdin that nobody closes would keep the process.
process.exit(await main(process.argv.slice(2)));

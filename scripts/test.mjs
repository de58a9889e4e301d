/** `npm test [-- NAME…]`: sets everything up, builds, and runs all tests, or those whose path has a NAME. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT, setUp } from "./setup.mjs";

setUp({ withTests: true });

const names = process.argv.slice(2);
const files = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".test.ts"))
  .filter((path) => names.length === 0 || names.some((name) => path.includes(name)))
  .map((path) => join(ROOT, "dist", "test", path.replace(/\.ts$/, ".js")))
  .sort();
if (files.length === 0) {
  console.error(`psync: no test has ${names.join(" or ")} in its path`);
  process.exit(1);
}
const args = [
  "--enable-source-maps",
  "--test",
  "--test-reporter=spec",
  "--test-concurrency=2",
  ...files,
];
const { status } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
process.exitCode = status ?? 1;

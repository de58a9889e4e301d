/** `npm run check`: format, lint, types, unused exports, and then the tests; `-- --without-tests` leaves them out. */
import { join } from "node:path";
import { ROOT, run, setUp } from "./setup.mjs";

setUp({ withTests: true });

const tool = (path, ...args) => run(process.execPath, [join(ROOT, "node_modules", path), ...args]);
tool("prettier/bin/prettier.cjs", "--check", ".");
tool("eslint/bin/eslint.js", "--max-warnings", "0", ".");
tool("knip/bin/knip.js");
console.log("psync: format, lint, types and exports are as they should be");
if (!process.argv.includes("--without-tests"))
  run(process.execPath, [join(ROOT, "scripts/test.mjs")]);

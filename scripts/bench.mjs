/** `npm run bench NAME [ARGUMENT…]`: builds, and runs one benchmark of bench/. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT, setUp } from "./setup.mjs";

const [name = "", ...args] = process.argv.slice(2);
if (!existsSync(join(ROOT, "bench", `${name}.ts`))) {
  console.error(
    `psync: there is no benchmark "${name}"; they are in bench/, such as: npm run bench far`,
  );
  process.exit(2);
}
setUp({ withTests: true });
const script = join(ROOT, "dist", "bench", `${name}.js`);
const { status } = spawnSync(process.execPath, [script, ...args], { cwd: ROOT, stdio: "inherit" });
process.exitCode = status ?? 1;

/**
 * `npm run demo`: a large file is exported, served, and read through a mount, with a lying server asked first.
 * Everything happens in a temporary folder and on loopback, and is gone afterwards.
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { ROOT, setUp } from "./setup.mjs";

setUp();

// What the demo's psyncs ask is on loopback, where no proxy leads.
process.env.no_proxy = "*";

const PSYNC = join(ROOT, "bin", "psync.js");
const folder = mkdtempSync(join(tmpdir(), "psync-demo-"));
const paths = {
  source: join(folder, "their-store"),
  lists: join(folder, "lists"),
  cache: join(folder, "our-store"),
  mountpoint: join(folder, "mnt"),
};
const cleanups = [];
let failed = true;
try {
  await demo();
  failed = false;
} catch (error) {
  console.error(`psync: the demo failed: ${error.message}`);
} finally {
  for (const cleanUp of cleanups.reverse()) await cleanUp();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);

async function demo() {
  const file = process.execPath;
  const fileBytes = statSync(file).size;
  mkdirSync(paths.mountpoint);

  say(`1. ${file} (${mib(fileBytes)}) becomes blocks and a hashlist`);
  await psync(["export", file, "-o", `${paths.lists}/`, "--store", paths.source]);

  say("2. its blocks are served on loopback");
  const honest = await start(["serve", "localhost:0", "--store", paths.source], /^http:\/\/\S+/);
  console.log(`   ${honest.said}`);

  say("3. a second server lies: every block it gives is wrong");
  const liar = await startLiar();
  console.log(`   ${liar.url}`);

  say("4. the list is mounted, with an empty store, and the liar asked first");
  const servers = ["--server", liar.url, "--server", honest.said];
  await start(
    ["mount", paths.lists, paths.mountpoint, "--store", paths.cache, ...servers],
    / is mounted at /,
  );
  const mounted = join(paths.mountpoint, (await output("ls", [paths.mountpoint])).trim());
  console.log(`   ${mounted}: ${mib(storedBytes())} fetched so far`);

  say("5. a few bytes in the middle fetch one block");
  await output("dd", [
    `if=${mounted}`,
    "of=/dev/null",
    "bs=4096",
    "count=1",
    `skip=${Math.floor(fileBytes / 8192)}`,
  ]);
  // A reader has its bytes before they are written to the store.
  for (let tries = 0; storedBytes() === 0 && tries < 500; tries += 1) await sleep(10);
  console.log(`   ${mib(storedBytes())} fetched so far`);

  say("6. the whole file, read with sha256sum");
  const [seen] = (await output("sha256sum", [mounted])).split(" ");
  const expected = await sha256(file);
  console.log(`   through the mount  ${seen}`);
  console.log(`   the file itself    ${expected}`);
  console.log(
    `   ${mib(storedBytes())} fetched; the liar was asked ${liar.requestCount()} time(s), and banned`,
  );
  if (seen !== expected) throw new Error("the sums differ");
  if (liar.requestCount() === 0) throw new Error("the liar was never asked");
  say("The sums agree.");
}

/** Bytes of blocks that were fetched into the empty store. */
function storedBytes() {
  let sumBytes = 0;
  const cache = join(paths.cache, "cache");
  for (const name of readdirSync(cache)) sumBytes += statSync(join(cache, name)).size;
  return sumBytes;
}

async function psync(args) {
  const { stderr } = await promisify(execFile)(process.execPath, [PSYNC, ...args]);
  process.stdout.write(stderr.replace(/^/, "   ").trimEnd() + "\n");
}

/** Starts psync in the background and waits until it says what is expected. */
async function start(args, expected) {
  const child = spawn(process.execPath, [PSYNC, ...args, "--quiet"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  cleanups.push(async () => {
    if (child.exitCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (expected.test(line)) return { said: line };
  }
  throw new Error(`psync ${args[0]} ended before it was ready`);
}

async function startLiar() {
  let count = 0;
  const server = createServer((_request, response) => {
    count += 1;
    response.end(Buffer.alloc(2 * 1024 * 1024, "lie"));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, requestCount: () => count };
}

/** Runs a program while the servers of this process go on answering. */
async function output(command, args) {
  return (await promisify(execFile)(command, args)).stdout;
}

async function sha256(path) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}

function mib(bytes) {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

function say(text) {
  console.log(`\n${text}`);
}

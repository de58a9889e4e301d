/**
 * A sequential read through the mount over a long line, beside 16 plain parallel downloads of the same blocks by
 * curl, which checks and keeps nothing. Alternating; medians of the runs.
 *
 * Usage: node dist/bench/far.js [RUNS] [MIB] [ROUND_TRIP_MS] [LINE_MBIT; 0: no limit]
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { randomBytes } from "node:crypto";

const run = promisify(execFile);
const PSYNC = fileURLToPath(new URL("../../bin/psync.js", import.meta.url));
const LINE = fileURLToPath(new URL("slowLineProcess.js", import.meta.url));
const MIB = 1 << 20;

const [runs = 3, sizeMib = 512, roundTripMs = 40, lineMbit = 1000] = process.argv
  .slice(2)
  .map(Number);
const sizeBytes = sizeMib * MIB;
const folder = await mkdtemp(join(tmpdir(), "psync-bench-"));
const children: ChildProcess[] = [];

/** Starts a process that says in its first line where it is. */
async function start(script: string, args: readonly string[], store = ""): Promise<string> {
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, PSYNC_STORE: store },
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return line;
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null) return;
  child.stdin?.end();
  child.kill("SIGTERM");
  await once(child, "exit");
}

async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

async function plainDownloads(urls: string): Promise<number> {
  return timedMs(() => run("curl", ["-sSf", "-Z", "--parallel-max", "16", "--config", urls]));
}

async function throughMount(lists: string, url: string, nth: number): Promise<number> {
  const mountpoint = join(folder, "mnt");
  await mkdir(mountpoint, { recursive: true });
  const store = join(folder, `store${nth}`);
  await start(PSYNC, ["mount", lists, mountpoint, "--server", url], store);
  try {
    return await timedMs(() => run("dd", [`if=${mountpoint}/big`, "of=/dev/null", "bs=1M"]));
  } finally {
    await stop(children.pop());
    await rm(store, { recursive: true });
  }
}

try {
  const lists = join(folder, "lists");
  const served = join(folder, "served");
  await mkdir(lists);
  await writeFile(join(folder, "big"), randomBytes(sizeBytes));
  const list = join(lists, "big.hashlist");
  await run(process.execPath, [PSYNC, "export", "-o", list, join(folder, "big")], {
    env: { ...process.env, PSYNC_STORE: served },
  });
  const target = new URL(await start(PSYNC, ["serve", "127.0.0.1:0"], served));
  const line = {
    target: { host: target.hostname, port: Number(target.port) },
    roundTripMs,
    ...(lineMbit > 0 ? { bytesPerSecond: (lineMbit * 1e6) / 8 } : {}),
  };
  const url = await start(LINE, [JSON.stringify(line)]);
  const hashes = (await readFile(list, "utf8")).split("\n\n")[0]?.trim().split("\n") ?? [];
  const urls = join(folder, "urls");
  await writeFile(
    urls,
    hashes.map((hash) => `url = "${url}/${hash}"\noutput = /dev/null\n`).join(""),
  );

  const plainMs: number[] = [];
  const mountMs: number[] = [];
  for (let nth = 0; nth < runs; nth += 1) {
    plainMs.push(await plainDownloads(urls));
    mountMs.push(await throughMount(lists, url, nth));
  }
  const rate = (ms: number): string => `${((sizeBytes / ms / 1e6) * 1000).toFixed(0)} MB/s`;
  const show = (name: string, ms: readonly number[]): string =>
    `${name.padEnd(28)} ${rate(median(ms)).padStart(9)}  (${ms.map(rate).join(", ")})`;
  const lineText = lineMbit > 0 ? `${lineMbit} Mbit/s` : "no limit";
  console.log(`${sizeMib} MiB, ${roundTripMs} ms round trip, ${lineText}, ${runs} runs`);
  console.log(show("curl -Z, 16 at once", plainMs));
  console.log(show("dd through psync mount, cold", mountMs));
  console.log(`ratio of medians: ${(median(plainMs) / median(mountMs)).toFixed(2)}`);
} finally {
  for (const child of children.reverse()) await stop(child);
  await rm(folder, { recursive: true, force: true });
}

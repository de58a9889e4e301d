/**
 * A store of a million blocks beside an empty one: how long a start, lookups, writes to the cache and evictions take,
 * and how much memory. Half of the blocks are kept, half cached; all are sparse files of a page, with made-up names.
 *
 * Usage: npm run bench largeStore [BLOCKS]
 */
import { randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, openSync, rmSync } from "node:fs";
import { execFile } from "node:child_process";
import { mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { parseBlockHash, type BlockHash } from "../src/block/hash.js";
import { blockOf } from "../src/block/verify.js";
import { systemClock } from "../src/core/clock.js";
import { silentLogger } from "../src/core/log.js";
import { openIndexFile } from "../src/store/indexFile.js";
import { openStore } from "../src/store/openStore.js";

const PAGE_BYTES = 4096;
const SCRIPT = fileURLToPath(import.meta.url);
const LOOKUPS = 2000;
const WRITES = 200;

type Numbers = Record<string, number>;

/** The name of the n-th made-up block: spread over the folder as hashes are, and made without a list of them. */
function nameOf(nth: number): BlockHash {
  const mixed = (BigInt(nth + 1) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn;
  const hash = parseBlockHash(mixed.toString(16).padStart(16, "0").repeat(4));
  if (hash === undefined) throw new Error("a made-up name is no hash");
  return hash;
}

function fill(store: string, count: number): void {
  for (let nth = 0; nth < count; nth += 1) {
    const file = openSync(
      join(store, nth % 2 === 0 ? "blocks" : "cache", nameOf(nth)),
      "wx",
      0o600,
    );
    ftruncateSync(file, PAGE_BYTES);
    closeSync(file);
  }
}

async function timesMs(count: number, work: (nth: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let nth = 0; nth < count; nth += 1) {
    const startMs = performance.now();
    await work(nth);
    times.push(performance.now() - startMs);
  }
  return times.sort((a, b) => a - b);
}

function summary(name: string, times: readonly number[]): Numbers {
  const at = (part: number): number => times[Math.floor(part * (times.length - 1))] ?? NaN;
  return { [`${name}, median ms`]: at(0.5), [`${name}, worst ms`]: at(1) };
}

const randomBlock = () => blockOf(randomBytes(PAGE_BYTES));

/** What a process of its own measures: of a start without an index, one with it, or one whose quota is full. */
async function measure(kind: string, path: string, count: number, quota: number): Promise<Numbers> {
  const startMs = performance.now();
  const store = await openStore({
    path,
    clock: systemClock,
    log: silentLogger,
    cacheQuotaBytes: quota,
  });
  const numbers: Numbers = { "start, ms": performance.now() - startMs };
  const lookUp = (): Promise<unknown> =>
    store.blocks.find(nameOf(Math.floor(Math.random() * Math.max(count, 1))));
  Object.assign(numbers, summary("lookup", await timesMs(LOOKUPS, lookUp)));
  if (kind === "scan") {
    while (!isScanned(path)) await sleep(50);
    numbers["index made anew behind it, ms"] = performance.now() - startMs;
  } else {
    const [first = NaN] = await timesMs(1, () => store.blocks.cache(randomBlock()));
    numbers["first write to the cache, ms"] = first;
    const write = (): Promise<unknown> => store.blocks.cache(randomBlock());
    Object.assign(numbers, summary("further writes", await timesMs(WRITES, write)));
  }
  const closeMs = performance.now();
  await store.close();
  numbers["close, ms"] = performance.now() - closeMs;
  numbers["largest memory, MiB"] = process.resourceUsage().maxRSS / 1024;
  return numbers;
}

function isScanned(path: string): boolean {
  const file = openIndexFile(join(path, "index.db"), 1000);
  const boot = file.scannedBoot();
  file.close();
  return boot !== "";
}

async function measured(kind: string, path: string, count: number, quota: number) {
  const args = [SCRIPT, "measure", kind, path, String(count), String(quota)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Numbers;
}

function show(title: string, empty: Numbers, large: Numbers): void {
  console.log(`\n${title.padEnd(40)}      empty      large`);
  for (const [name, value] of Object.entries(large)) {
    const cell = (number = NaN): string => number.toFixed(2).padStart(11);
    console.log(`  ${name.padEnd(38)}${cell(empty[name])}${cell(value)}`);
  }
}

async function main(count: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "psync-bench-"));
  const stores = { empty: join(folder, "empty"), large: join(folder, "large") };
  const large = Math.floor(count / 2) * PAGE_BYTES;
  try {
    for (const path of Object.values(stores)) {
      const made = await openStore({ path, clock: systemClock, log: silentLogger });
      await made.close();
    }
    const fillMs = performance.now();
    fill(stores.large, count);
    const { type } = await statfs(folder);
    console.log(`${count} blocks made in ${((performance.now() - fillMs) / 1000).toFixed(0)} s`);
    console.log(`file system type 0x${type.toString(16)}, node ${process.version}`);
    const both = async (title: string, kind: string, quotas: { empty: number; large: number }) => {
      show(
        title,
        await measured(kind, stores.empty, 0, quotas.empty),
        await measured(kind, stores.large, count, quotas.large),
      );
    };
    for (const path of Object.values(stores)) rmSync(join(path, "index.db"));
    const ample = { empty: 4 * large + 1e9, large: 4 * large + 1e9 };
    await both("start without an index", "scan", ample);
    await both("start with an index", "indexed", ample);
    // The first write finds the cache full: a tenth of it goes.
    await both("start with a full cache", "full", { empty: 100 * PAGE_BYTES, large });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const [first = "1000000", kind = "", path = "", count = "0", quota = "0"] = process.argv.slice(2);
if (first === "measure") {
  console.log(JSON.stringify(await measure(kind, path, Number(count), Number(quota))));
} else {
  await main(Number(first));
}

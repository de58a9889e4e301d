/**
 * A process that puts load on a store until it is killed, and says on stdout what it was promised: `kept <hash>` for
 * each hash that export would print, `got <list>` where get would end with status 0, `read` for each block a mount reads,
 * and `taken` for each batch of blocks that a sweep took away.
 *
 * Arguments: export|get|read|gc|unpin, then JSON of `Load`. What a task does not need it does not load: it is started often.
 */
import { renameSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { SweepTo } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import { errorMessage, isPsyncError } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import type { Hashlist } from "../../src/hashlist/hashlist.js";
import { readHashlist } from "../../src/hashlist/readHashlist.js";
import { openStore } from "../../src/store/openStore.js";
import { createDice, seededBytes } from "./blocks.js";

export type LoadTask = "export" | "get" | "read" | "gc" | "unpin";

export interface Load {
  readonly store: string;
  readonly seed: string;
  readonly url: string;
  /** Lists of what is exported go here, all with one name and a number. */
  readonly exported: string;
  readonly listName: string;
  /** Folders of lists whose blocks stay, and whose blocks go to the cache. */
  readonly needed: string;
  readonly dropped: string;
  /** A folder of hashlists, read in a random order. */
  readonly lists: string;
  readonly blockSizeBytes: number;
  readonly quotaBytes: number;
}

const [task = "", loadText = "{}"] = process.argv.slice(2);
const load = JSON.parse(loadText) as Load;
const dice = createDice(load.seed);
const { signal } = new AbortController();
const log = silentLogger;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function* chunks(): AsyncGenerator<Uint8Array> {
  for (let nth = 0; nth < 400; nth += 1) {
    yield await Promise.resolve(seededBytes(`${load.seed} ${nth}`, 1 + dice.roll(40_000)));
  }
}

async function exportAll(): Promise<void> {
  const { exportLines } = await import("../../src/transfer/exportFile.js");
  const { store: path, blockSizeBytes } = load;
  const store = await openStore({ path, clock: systemClock, log });
  const options = { store: store.blocks, blockSizeBytes, signal, trailer: false };
  let lines: string[] = [];
  let listCount = 0;
  // What is said stands in a list by then: a sweep that begins after the kill must find it named.
  const flush = (): void => {
    if (lines.length === 0) return;
    const list = join(load.exported, `${load.listName}-${(listCount += 1)}`);
    writeFileSync(list, lines.join(""));
    renameSync(list, `${list}.hashlist`);
    for (const line of lines) say(`kept ${line.trim()}`);
    lines = [];
  };
  await exportLines(chunks(), options, (text) => {
    if (lines.push(text) === 1) setImmediate(flush);
    return Promise.resolve();
  });
  flush();
  await store.close();
}

async function listsInAnyOrder(): Promise<{ name: string; list: Hashlist }[]> {
  const names = (await readdir(load.lists)).sort();
  const lists: { name: string; list: Hashlist }[] = [];
  while (names.length > 0) {
    const [name = ""] = names.splice(dice.roll(names.length), 1);
    lists.push({ name, list: (await readHashlist(join(load.lists, name))).list });
  }
  return lists;
}

async function getAll(): Promise<void> {
  const { createServers } = await import("../../src/compose.js");
  const { getBlocks } = await import("../../src/transfer/getBlocks.js");
  const store = await openStore({ path: load.store, clock: systemClock, log });
  const source = createServers({ servers: [load.url], log, records: store.servers });
  for (const named of await listsInAnyOrder()) {
    const options = { store: store.blocks, source, clock: systemClock, signal, force: false };
    const totals = await getBlocks([named], options);
    if (totals.failures.length + totals.notTriedCount === 0) say(`got ${named.name}`);
  }
  await source.close();
  await store.close();
}

async function readAll(): Promise<void> {
  const { createReadPath, createServers } = await import("../../src/compose.js");
  const { store: path, quotaBytes: cacheQuotaBytes } = load;
  const store = await openStore({ path, clock: systemClock, log, cacheQuotaBytes });
  const servers = createServers({ servers: [load.url], log, records: store.servers });
  const readPath = createReadPath({ store: store.blocks, sizes: store.sizes, servers, log });
  const lists = await listsInAnyOrder();
  const readSome = async (): Promise<void> => {
    for (let nth = 0; nth < 500; nth += 1) {
      const list = lists[dice.roll(lists.length)]?.list;
      if (!list) return;
      const hash = list.hashAt(dice.roll(list.blockCount));
      await readPath.source.fetch({ hash, maxBytes: list.blockSizeBytes, signal });
      say("read");
    }
  };
  await Promise.all([readSome(), readSome(), readSome()]);
  await readPath.close();
  await store.close();
}

/** What `psync gc` and `psync unpin` do, over and over. */
async function sweepAll(to: SweepTo): Promise<void> {
  const { findLists } = await import("../../src/hashlist/findLists.js");
  const { findUnneeded, namedBlocks } = await import("../../src/transfer/keptBlocks.js");
  const { store: path, quotaBytes: cacheQuotaBytes } = load;
  const store = await openStore({ path, clock: systemClock, log, cacheQuotaBytes });
  const namedIn = async (folder: string) =>
    (await namedBlocks(findLists([folder], { signal }))).hashes;
  for (let nth = 0; nth < 20; nth += 1) {
    const sweep = await store.startSweep();
    try {
      const named = await namedIn(load.needed);
      const candidates = to === "cache" ? await namedIn(load.dropped) : store.list("kept");
      const claimed = store.claimed();
      const parts = { store: store.blocks, named, claimed, signal };
      const { hashes } = await findUnneeded(candidates, parts);
      await sweep.take(hashes, to, {
        signal,
        onProgress: () => {
          say("taken");
        },
      });
    } finally {
      sweep.close();
    }
    say("swept");
  }
  await store.close();
}

const TASKS: Readonly<Record<string, () => Promise<void>>> = {
  export: exportAll,
  get: getAll,
  read: readAll,
  gc: () => sweepAll("nowhere"),
  unpin: () => sweepAll("cache"),
};
try {
  await TASKS[task]?.();
} catch (error) {
  const details = isPsyncError(error) ? error.details.join("; ") : "";
  process.stderr.write(`${task}: ${errorMessage(error)}: ${details}\n`);
  process.exit(1);
}

/**
 * A process that puts load on a store until it is killed, and says on stdout what it was promised: `kept <hash>` for
 * each hash that export would print, `got <list>` where get would end with status 0, `read` for each block a mount reads.
 *
 * Arguments: export|get|read, then JSON of `Load`. What a task does not need it does not load: it is started often.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.js";
import { errorMessage } from "../../src/core/errors.js";
import { silentLogger } from "../../src/core/log.js";
import type { Hashlist } from "../../src/hashlist/hashlist.js";
import { readHashlist } from "../../src/hashlist/readHashlist.js";
import { openStore } from "../../src/store/openStore.js";
import { createDice, seededBytes } from "./blocks.js";

export interface Load {
  readonly store: string;
  readonly seed: string;
  readonly url: string;
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
  await exportLines(chunks(), options, (text) => {
    say(`kept ${text.trim()}`);
    return Promise.resolve();
  });
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

const TASKS: Readonly<Record<string, () => Promise<void>>> = {
  export: exportAll,
  get: getAll,
  read: readAll,
};
try {
  await TASKS[task]?.();
} catch (error) {
  process.stderr.write(`${task}: ${errorMessage(error)}\n`);
  process.exit(1);
}

/** A process that may open few files, and uses a store while it has all of them open; says on stdout how it went. */
import { closeSync, openSync } from "node:fs";
import { systemClock } from "../../src/core/clock.js";
import { errorMessage, systemErrorCode } from "../../src/core/errors.js";
import { createLogger } from "../../src/core/log.js";
import { createStoreThenFetch } from "../../src/source/storeThenFetch.js";
import { openStore } from "../../src/store/openStore.js";
import { mapSource } from "./lists.js";
import { makeBlock } from "./storeFixtures.js";

const [path = ""] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Opens all files there can be. */
function takeAll(): number[] {
  const taken: number[] = [];
  for (;;) {
    try {
      taken.push(openSync("/dev/null", "r"));
    } catch (error) {
      if (systemErrorCode(error) === "EMFILE") return taken;
      throw error;
    }
  }
}

async function main(): Promise<void> {
  const log = createLogger((level, message) => {
    say(`${level} ${message}`);
  });
  const store = await openStore({ path, clock: systemClock, log });
  const blocks = Array.from({ length: 20 }, (_, i) => makeBlock(i));
  const fetcher = mapSource(new Map(blocks.map((block) => [block.hash, block]))).source;
  const source = createStoreThenFetch({
    store: store.blocks,
    fetcher,
    clock: systemClock,
    log,
    blocksInFlight: 4,
    inFlightBytes: 1_000_000,
    storeReadBytes: 1_000_000,
  });
  const readAll = async (some: typeof blocks): Promise<void> => {
    for (const { hash } of some) {
      await source.fetch({ hash, maxBytes: 1000, signal: new AbortController().signal });
    }
    await source.settled();
  };
  await store.blocks.keep(blocks.slice(0, 2));
  await readAll(blocks.slice(2, 4));
  const taken = takeAll();
  // Kept, cached and nowhere: each is read without the store.
  await readAll(blocks);
  await store.blocks.keep(blocks.slice(4)).catch((error: unknown) => {
    say(`keep: ${errorMessage(error)}`);
  });
  for (const file of taken) closeSync(file);
  await readAll(blocks);
  say(
    `found: ${(await Promise.all(blocks.map(({ hash }) => store.blocks.find(hash)))).filter(Boolean).length}`,
  );
  await store.close();
}

await main();

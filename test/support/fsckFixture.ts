/** A store for `psync fsck` to look at, its lists, and a server of its blocks. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { seededBytes } from "./blocks.js";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { psync, type CliOptions } from "./cli.js";
import { startHonestServer } from "./honestServer.js";
import { listOf } from "./lists.js";
import { openTestStore } from "./storeFixtures.js";
import { tempFolder } from "./tempFolder.js";

export const BLOCK_BYTES = 16 * 1024;

export interface FsckJson {
  readonly checkedCount: number;
  readonly problems: readonly {
    readonly hash: string;
    readonly place: string;
    readonly why: string;
    readonly outcome: string;
    readonly lists: readonly { readonly file: string; readonly blockIndex: number }[];
  }[];
  readonly strangeNames: readonly string[];
  readonly lacking: readonly { readonly list: string; readonly lackingCount: number }[];
  readonly leftTempFileCount: number;
}

/** Runs `psync fsck --json`. */
export async function fsck(args: readonly string[], options: CliOptions) {
  const { status, stdout, stderr } = await psync(["fsck", "--json", ...args], options);
  return { status, stderr, report: JSON.parse(stdout.toString()) as FsckJson };
}

/** A store with a file of eight kept blocks and one of eight cached ones, their lists, and a server of both. */
export async function fsckFixture(t: CleanUpContext) {
  const folder = await tempFolder(t);
  const path = join(folder, "store");
  const lists = join(folder, "lists");
  await mkdir(join(lists, "sub"), { recursive: true });
  const kept = await listOf(seededBytes("kept", 8 * BLOCK_BYTES), BLOCK_BYTES);
  const cached = await listOf(seededBytes("cached", 8 * BLOCK_BYTES), BLOCK_BYTES);
  await writeFile(join(lists, "kept.bin.hashlist"), kept.text);
  await writeFile(join(lists, "sub", "cached.bin.hashlist"), cached.text);
  const store = await openTestStore(t, path);
  await store.blocks.keep([...kept.blocks.values()]);
  for (const block of cached.blocks.values()) await store.blocks.cache(block);
  await store.close();
  const blocks = [...kept.blocks.values(), ...cached.blocks.values()];
  const serve = async (given: readonly VerifiedBlock[] = blocks) => {
    const server = await startHonestServer(given);
    cleanUp(t, () => server.close());
    return server.url;
  };
  const file = (place: "blocks" | "cache", hash: string): string => join(path, place, hash);
  return {
    path,
    lists,
    serve,
    file,
    blocks,
    kept: [...kept.blocks.keys()].sort(),
    cached: [...cached.blocks.keys()].sort(),
    keptList: kept.list,
  };
}

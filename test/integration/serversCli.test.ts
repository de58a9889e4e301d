/** What the command line says of servers: `psync servers`, and `get --explain`. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { ServerRecord } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { cleanUp } from "../support/cleanUp.js";
import { psync, psyncOk } from "../support/cli.js";
import { startFaultyServer } from "../support/faultyServer.js";
import { serverRecord } from "../support/serverRecords.js";
import { makeBlock } from "../support/storeFixtures.js";
import { tempFolder } from "../support/tempFolder.js";

const A = "http://a.example:8000";
const B = "https://b.example/blocks";
const MINUTE_MS = 60_000;

/** Writes records with a store that is closed again, so that they are there when a command runs. */
async function remember(
  path: string,
  records: Readonly<Record<string, ServerRecord>>,
): Promise<void> {
  const store = await openStore({ path, clock: systemClock, log: silentLogger });
  store.servers.save(new Map(Object.entries(records)));
  await store.close();
}

interface ShownServer {
  readonly server: string;
  readonly configured: boolean;
  readonly state: string;
  readonly banRemainingMs: number;
  readonly bytesPerSecond: number | null;
}

async function shownServers(store: string, ...args: string[]): Promise<ShownServer[]> {
  return JSON.parse(await psyncOk(["servers", "--json", ...args], { store })) as ShownServer[];
}

describe("SERVERS-2: psync servers", () => {
  it("shows configured servers first, then others, by names without credentials", async (t) => {
    const store = await tempFolder(t);
    await remember(store, {
      [A]: serverRecord({ askedUnixMs: Date.now() - 3 * MINUTE_MS }),
      [B]: serverRecord({ banMs: 10 * MINUTE_MS, banEndUnixMs: Date.now() + 9 * MINUTE_MS }),
    });
    const configured = ["http://name:secret@new.example/", "a.example:8000"];
    const args = configured.flatMap((server) => ["--server", server]);
    const { status, stdout, stderr } = await psync(["servers", ...args], { store });
    assert.equal(status, 0, stderr);
    const [head = "", ...lines] = stdout.toString().trimEnd().split("\n");
    assert.match(head, /^SERVER +STATE +FIRST BYTE +SPEED +LIMIT +BLOCKS +FAILED +404 +LIES +LAST/);
    assert.match(lines[0] ?? "", /^http:\/\/new\.example +never asked +- /);
    assert.match(lines[1] ?? "", /^http:\/\/a\.example:8000 +ready +36 ms +12\.3 MB\/s .*min ago$/);
    assert.match(lines[2] ?? "", /^https:\/\/b\.example\/blocks +banned \d+ min /);
    assert.doesNotMatch(`${stdout.toString()}${stderr}`, /secret/);

    const rows = await shownServers(store, ...args);
    assert.deepEqual(
      rows.map(({ server, configured, state }) => [server, configured, state]),
      [
        ["http://new.example", true, "neverAsked"],
        [A, true, "ready"],
        [B, false, "banned"],
      ],
    );
    assert.ok((rows[2]?.banRemainingMs ?? 0) > 0);
    assert.deepEqual([rows[0]?.bytesPerSecond, rows[1]?.bytesPerSecond], [null, 12_300_000]);
  });

  it("takes servers from where every command has them, and says so where there are none", async (t) => {
    const folder = await tempFolder(t);
    const store = join(folder, "store");
    const nothing = await psync(["servers"], { store });
    assert.equal(nothing.status, 0);
    assert.match(nothing.stdout.toString(), /^no server is configured.*config\.json\n$/);
    assert.deepEqual(await shownServers(store), []);
    const env = { PSYNC_SERVERS: A };
    assert.match(await psyncOk(["servers"], { store, env }), /\nhttp:\/\/a\.example:8000 +never/);
    // It only looks.
    assert.deepEqual(await readdir(folder), []);
    await mkdir(store);
    await writeFile(join(store, "config.json"), JSON.stringify({ servers: [B] }));
    assert.deepEqual(
      (await shownServers(store)).map(({ server }) => server),
      [B],
    );
    await writeFile(join(store, "config.json"), "{");
    assert.equal((await psync(["servers"], { store })).status, 2);
  });

  it("forgets the servers it is told to, however they are written", async (t) => {
    const store = await tempFolder(t);
    const [c, d] = ["http://c.example", "http://d.example"];
    const record = serverRecord();
    await remember(store, { [A]: record, [B]: record, [c]: record, [d]: record });
    const { status, stdout, stderr } = await psync(
      [
        "servers",
        "--json",
        "--forget",
        "a.example:8000",
        `${B}/`,
        "--forget",
        "http://x:y@c.example",
      ],
      { store },
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout.toString()), { forgotten: [A, B, c] });
    assert.match(stderr, /http:\/\/a\.example:8000 is forgotten; a mount that runs keeps its own/);
    assert.deepEqual(
      (await shownServers(store)).map(({ server }) => server),
      [d],
    );
    const again = await psync(["servers", "--forget", A], { store });
    assert.equal(again.status, 0);
    assert.equal(again.stderr, `psync: nothing is remembered of ${A}\n`);
    for (const args of [["--forget"], ["--forget", "ftp://x"]]) {
      assert.equal((await psync(["servers", ...args], { store })).status, 2);
    }
  });
});

/** A server that has all blocks of a list, and one that has none. */
async function twoServers(t: TestContext) {
  const folder = await tempFolder(t);
  const blocks = [0, 1, 2].map((number) => makeBlock(number, 4_096));
  const list = join(folder, "disk.hashlist");
  const lines = blocks.map(({ hash }) => `${hash}\n`).join("");
  await writeFile(list, `${lines}\nblock-size: 4096\nsize: ${3 * 4_096}\n`);
  const empty = await startFaultyServer({ seed: 1, blocks: [], fault: "none" });
  const full = await startFaultyServer({ seed: 2, blocks, fault: "none" });
  cleanUp(t, () => Promise.all([empty.close(), full.close()]));
  return { folder, list, blocks, empty, full };
}

describe("SERVERS-3: psync get --explain", () => {
  it("says of each fetched block where it stands, who was asked, and what each did", async (t) => {
    const { folder, list, blocks, empty, full } = await twoServers(t);
    const store = join(folder, "store");
    const args = ["get", empty.url, full.url, list, "--explain", "--json"];
    const { status, stdout, stderr } = await psync(args, { store });
    assert.equal(status, 0, stderr);
    blocks.forEach(({ hash }, i) => {
      const begin = `psync: block ${i + 1} of ${list} (${hash.slice(0, 12)}…): `;
      const line = stderr.split("\n").find((each) => each.startsWith(begin)) ?? "";
      assert.match(line, new RegExp(`${full.url}: 4KiB in \\d+ m?s`), stderr);
    });
    assert.match(stderr, new RegExp(`: ${empty.url}: 404; `));
    // The lines are no part of the data; and what is there is not fetched, so there is nothing to say of it.
    assert.equal((JSON.parse(stdout.toString()) as { fetchedCount: number }).fetchedCount, 3);
    const again = await psync(args, { store });
    assert.doesNotMatch(again.stderr, /psync: block /);
  });

  it("says it of blocks that nobody has too, and of each list that wants one", async (t) => {
    const { folder, list, empty } = await twoServers(t);
    const twin = join(folder, "twin.hashlist");
    await writeFile(twin, await readFile(list));
    const args = ["get", empty.url, list, twin, "--explain"];
    const { status, stderr } = await psync(args, { store: join(folder, "store") });
    assert.equal(status, 4);
    for (const name of [list, twin]) {
      for (const number of [1, 2, 3]) {
        assert.ok(stderr.includes(`psync: block ${number} of ${name} (`), stderr);
      }
    }
  });

  it("is silent without it; a log that says more has the blocks that took more than one server", async (t) => {
    const { folder, list, empty, full } = await twoServers(t);
    const quiet = await psync(["get", empty.url, full.url, list], { store: join(folder, "one") });
    assert.doesNotMatch(quiet.stderr, /psync: block /);
    const store = join(folder, "two");
    const loud = await psync(["get", empty.url, full.url, list, "-v"], { store });
    assert.match(loud.stderr, /psync: block [0-9a-f]{64}: http.*: 404; http.*: 4KiB in /);
  });
});

describe("slips on the command line of get", () => {
  it("SECRET-1: a server without its scheme is one, and its password is not shown", async (t) => {
    const store = await tempFolder(t);
    const address = "ann:hunter2@127.0.0.1:1";
    const { status, stderr } = await psync(["get", address, join(store, "absent.hashlist")], {
      store,
    });
    assert.equal(status, 1);
    assert.match(stderr, /absent\.hashlist/);
    assert.doesNotMatch(stderr, /hunter2/);
  });

  it("a list given as a server is told, and an empty list on stdin too", async (t) => {
    const store = await tempFolder(t);
    const slip = await psync(["get", "--server", "lists/a.hashlist"], { store });
    assert.equal(slip.status, 2);
    assert.match(slip.stderr, /--server: .*lists\/a\.hashlist.*named like a hashlist/);
    const empty = await psync(["get", "--server", "127.0.0.1:1"], { store });
    assert.match(empty.stderr, /the list on stdin is empty/);
  });
});

describe("psync doctor", () => {
  it("says of a server that it is banned, and what ends that", async (t) => {
    const block = makeBlock(1);
    const server = await startFaultyServer({ blocks: [block], seed: 1, fault: "none" });
    cleanUp(t, () => server.close());
    const store = await tempFolder(t);
    const banned = { banMs: 10 * MINUTE_MS, banEndUnixMs: Date.now() + 9 * MINUTE_MS };
    await remember(store, { [server.url]: serverRecord(banned) });
    const { stdout } = await psync(["doctor", "--server", server.url], { store });
    const line = stdout
      .toString()
      .split("\n")
      .find((text) => text.includes(server.url));
    assert.match(
      line ?? "",
      /^warn .*banned for \d+ min more: it gave wrong bytes.*psync servers --forget/,
    );
  });
});

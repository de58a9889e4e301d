/** What the command line says of servers: `psync servers`, and `get --explain`. */
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { ServerRecord } from "../../src/block/ports.js";
import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { openStore } from "../../src/store/openStore.js";
import { psync, psyncOk } from "../support/cli.js";
import { serverRecord } from "../support/serverRecords.js";
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

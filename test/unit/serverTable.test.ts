import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ServerRecord } from "../../src/block/ports.js";
import { formatServers, serverRows } from "../../src/cli/serverTable.js";
import { serverRecord } from "../support/serverRecords.js";

const NOW = 1_700_000_000_000;

function tableOf(
  configured: readonly string[],
  records: Readonly<Record<string, Partial<ServerRecord>>>,
): string {
  const known = Object.entries(records).map(
    ([server, parts]) => [server, serverRecord({ askedUnixMs: NOW, ...parts })] as const,
  );
  const rows = serverRows({ configured, records: new Map(known), nowUnixMs: NOW });
  return formatServers(rows, NOW);
}

function cellsOf(parts: Partial<ServerRecord>): string[] {
  const [, line = ""] = tableOf([], { "http://a": parts }).split("\n");
  return line.split(/ {2,}/);
}

describe("the table of servers", () => {
  it("SERVERS-2: has the configured ones in their order, then the others, the last asked first", () => {
    const table = tableOf(["http://z", "http://new", "http://z", "http://a"], {
      "http://a": {},
      "http://old": { askedUnixMs: NOW - 1_000 },
      "http://recent": {},
      "http://z": {},
    });
    const names = table.split("\n").map((line) => line.split(" ")[0]);
    assert.deepEqual(names, [
      "SERVER",
      "http://z",
      "http://new",
      "http://a",
      "http://recent",
      "http://old",
      "",
    ]);
  });

  it("has units in its cells, and a dash for what is not known", () => {
    assert.equal(
      tableOf(["http://never"], { "http://a": { askedUnixMs: NOW - 180_000 } }),
      `\
SERVER        STATE        FIRST BYTE  SPEED      LIMIT  BLOCKS  FAILED  404   LIES  LAST ASKED
http://never  never asked  -           -          -      0       -       -     0     -
http://a      ready        36 ms       12.3 MB/s  4      1234    13 %    50 %  0     3 min ago
`,
    );
    const unmeasured = cellsOf({ firstByteMs: undefined, bytesPerSecond: undefined });
    assert.deepEqual(unmeasured.slice(2, 4), ["-", "-"]);
  });

  it("says how long a ban still holds, and nothing of one that is over", () => {
    const banMs = 600_000;
    assert.equal(cellsOf({ banMs, banEndUnixMs: NOW + 540_000 })[1], "banned 9 min");
    assert.equal(cellsOf({ banMs, banEndUnixMs: NOW })[1], "ready");
  });

  it("shows what is rare apart from what never was", () => {
    const fractions = { failedFraction: 0.001, notFoundFraction: 0, requestLimit: 0.4 };
    const cells = cellsOf(fractions);
    assert.deepEqual([cells[4], cells[6], cells[7]], ["1", "<1 %", "0 %"]);
  });

  it("says when a server was asked last in words", () => {
    const hourMs = 3_600_000;
    const ago = [-500, 999, 1_000, 90_000, 47 * hourMs, 72 * hourMs];
    assert.deepEqual(
      ago.map((ms) => cellsOf({ askedUnixMs: NOW - ms }).at(-1)),
      ["just now", "just now", "1 s ago", "2 min ago", "47 h ago", "3 days ago"],
    );
  });
});

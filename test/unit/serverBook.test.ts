import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ServerRecord } from "../../src/block/ports.js";
import { LIMITS } from "../../src/core/limits.js";
import { failed } from "../../src/fetch/outcome.js";
import { createServerBook, type BookQuery, type RequestEnd } from "../../src/fetch/serverBook.js";
import { seededBlock } from "../support/blocks.js";

const limits = LIMITS.fetch;
const { hash } = seededBlock("a");
const MIB = 1 << 20;
const NOON = Date.UTC(2026, 0, 1, 12);

function createSubject(
  records: ReadonlyMap<string, ServerRecord> = new Map(),
  nowUnixMs = NOON,
  servers = ["a", "b"],
) {
  const book = createServerBook({ servers, limits, nowMs: 0, records, nowUnixMs });
  const query = (more: Partial<BookQuery> = {}): BookQuery => ({
    hash,
    expectedBytes: MIB,
    nowMs: 0,
    isWaitedFor: true,
    giveUpAtMs: 0,
    mayTry: true,
    notBeforeMs: new Map(),
    ...more,
  });
  /** One request of a server, to its end. */
  const ask = (
    server: string,
    end: RequestEnd,
    took: { elapsedMs?: number; firstByteMs?: number | undefined; bytes?: number } = {},
    nowMs = 0,
  ) => {
    const { elapsedMs = 110, bytes = MIB } = took;
    const firstByteMs = "firstByteMs" in took ? took.firstByteMs : 10;
    book.begin(server, nowMs);
    return book.end({
      server,
      hash,
      expectedBytes: MIB,
      nowMs,
      timing: { elapsedMs, firstByteMs, receivedBytes: bytes },
      end,
      failure: end === "failed" ? failed("timeout", "no answer") : undefined,
    });
  };
  const chosen = (more: Partial<BookQuery> = {}) => {
    const choice = book.choose(query(more));
    return choice.type === "ask" ? choice.server : choice.type;
  };
  return { book, query, ask, chosen };
}

describe("the book of servers", () => {
  it("prefers the one that showed that it is faster", () => {
    const { ask, chosen } = createSubject();
    ask("a", "ok", { elapsedMs: 500 });
    ask("b", "ok", { elapsedMs: 100 });
    assert.equal(chosen(), "b");
  });

  it("a server that was too slow to be waited for is slow, also where it sent nothing", () => {
    const { ask, chosen, book } = createSubject();
    ask("a", "lost", { elapsedMs: 3000, firstByteMs: undefined, bytes: 0 });
    ask("b", "ok", { elapsedMs: 100 });
    assert.equal(book.expectedMs("a", MIB), undefined);
    assert.equal(chosen(), "b");
  });

  it("what was abandoned says nothing", () => {
    const { ask, book } = createSubject();
    ask("a", "abandoned", { elapsedMs: 3000, firstByteMs: undefined, bytes: 0 });
    assert.equal(book.expectedMs("a", MIB), undefined);
    assert.equal(book.records(0, NOON).get("a")?.failedFraction, 0);
  });

  it("gives a newcomer two requests, and its own limit once it gave a block", () => {
    const { ask, book } = createSubject();
    assert.equal(book.requestLimit("a"), limits.newcomerRequests);
    ask("a", "ok");
    assert.equal(book.requestLimit("a"), limits.firstRequestLimit);
  });

  it("tries another one in one of so many requests", () => {
    const { ask, book, query } = createSubject();
    ask("a", "ok");
    const tries: number[] = [];
    for (let nth = 1; nth <= 20; nth += 1) {
      const choice = book.choose(query());
      assert.ok(choice.type === "ask");
      if (choice.server === "b") tries.push(nth);
      // It stays unknown: it is asked again only after a while.
      ask(choice.server, choice.server === "a" ? "ok" : "notFound", {}, 0);
    }
    assert.deepEqual(tries.slice(0, 1), [limits.tryEveryRequests + 1]);
    assert.equal(tries.length, 1);
  });

  it("a race that may not try one leaves the try to the next request", () => {
    const { ask, chosen } = createSubject();
    ask("a", "ok");
    for (let nth = 0; nth < limits.tryEveryRequests; nth += 1) assert.equal(chosen(), "a");
    assert.equal(chosen({ mayTry: false }), "a");
    assert.equal(chosen(), "b");
  });

  it("a server is late where another would be done three times over", () => {
    const { ask, book, query } = createSubject();
    for (let nth = 0; nth < 20; nth += 1) {
      ask("a", "ok", { elapsedMs: 2000 });
      ask("b", "ok", { elapsedMs: 150 });
    }
    assert.equal(Math.round(book.lateAfterMs("a", query())), 450);
    assert.equal(Math.round(book.lateAfterMs("b", query())), 150);
  });
});

describe("SERVERS-1: what is known of servers, over a restart", () => {
  const first = () => {
    const subject = createSubject();
    for (let nth = 0; nth < 5; nth += 1) subject.ask("a", "ok", { elapsedMs: 500 });
    subject.ask("b", "lied");
    return subject.book.records(1000, NOON + 1000);
  };

  it("leaves out what was never asked", () => {
    const { ask, book } = createSubject();
    ask("a", "ok");
    assert.deepEqual([...book.records(0, NOON).keys()], ["a"]);
  });

  it("is its speed, its limit and what it did", () => {
    const record = first().get("a");
    assert.equal(record?.blockCount, 5);
    assert.equal(record.firstByteMs, 10);
    const { book } = createSubject(first(), NOON + 2000);
    assert.equal(Math.round(book.expectedMs("a", MIB) ?? 0), 500);
    assert.equal(book.requestLimit("a"), record.requestLimit);
  });

  it("is the ban of one that lied, until its end by the time of day", () => {
    const records = first();
    const banned = createSubject(records, NOON + limits.banMs - 1);
    assert.equal(banned.book.health.serverStanding("b", 0).type, "banned");
    const healed = createSubject(records, NOON + limits.banMs + 1);
    assert.equal(healed.book.health.serverStanding("b", 0).type, "ready");
    const again = healed.ask("b", "lied");
    assert.deepEqual(again, { type: "banned", forMs: 2 * limits.banMs });
  });

  it("bans nobody for longer than any ban, though the clock was set back", () => {
    const { book } = createSubject(first(), 0);
    const standing = book.health.serverStanding("b", 0);
    assert.ok(standing.type === "banned" && standing.forMs <= limits.maxBanMs);
    assert.equal(book.health.serverStanding("b", limits.maxBanMs).type, "ready");
  });
});

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import type { VerifiedBlock } from "../../src/block/verify.js";
import { systemClock } from "../../src/core/clock.js";
import { isBlockMissing, isPsyncError, type PsyncError } from "../../src/core/errors.js";
import type { LimitsOf } from "../../src/core/limits.js";
import { createLogger, silentLogger, type Logger } from "../../src/core/log.js";
import { createServerSet, type ServerSet } from "../../src/fetch/serverSet.js";
import { httpServers } from "../support/httpServers.js";
import { seededBlock } from "../support/blocks.js";
import {
  HARMLESS,
  LASTING_FAULTS,
  LIES,
  namesOf,
  TRANSIENT_FAULTS,
  type FaultName,
} from "../support/faults.js";
import { refusingUrl, startFaultyServer, type FaultyServer } from "../support/faultyServer.js";
import { startHonestServer } from "../support/honestServer.js";
import { SEED } from "../support/seed.js";
import { until } from "../support/until.js";

const seed = String(SEED);
const maxBytes = 8192;
const block = seededBlock("wanted", 5000);
const other = seededBlock("other", 5000);
const blocks = [block, other];

const QUICK: Partial<LimitsOf<"fetch">> = {
  connectTimeoutMs: 2_000,
  headersTimeoutMs: 200,
  slowWindowMs: 200,
  passedOverBodyMs: 100,
  patienceMs: 300,
  roundPauseMs: 20,
  maxRoundPauseMs: 50,
};

/** What a test opened, closed at its end. */
interface Closable {
  close(): Promise<void>;
}

async function using(work: (keep: <T extends Closable>(opened: T) => T) => Promise<void>) {
  const opened: Closable[] = [];
  try {
    await work((one) => {
      opened.push(one);
      return one;
    });
  } finally {
    for (const one of opened.reverse()) await one.close();
  }
}

function setOf(urls: readonly string[], limits = {}, log: Logger = silentLogger): ServerSet {
  const inUse = { ...QUICK, ...limits };
  return createServerSet({
    servers: httpServers(urls, inUse),
    clock: systemClock,
    log,
    limits: inUse,
  });
}

function fetchFrom(
  source: ServerSet,
  hash: BlockHash = block.hash,
  signal = new AbortController().signal,
): Promise<VerifiedBlock> {
  return source.fetch({ hash, maxBytes, signal });
}

async function failureOf(fetching: Promise<unknown>): Promise<PsyncError> {
  const error: unknown = await fetching.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isBlockMissing(error)) {
    assert.fail(`not a typed error: ${String(error)}`);
  }
  return error;
}

function assertRight(got: VerifiedBlock): void {
  assert.deepEqual(Buffer.from(got.bytes), Buffer.from(block.bytes));
}

const faulty = (fault: FaultName, more = {}): Promise<FaultyServer> =>
  startFaultyServer({ blocks, seed, fault, ...more });

describe(`FETCH-1, FETCH-4: a server that fails (seed ${seed})`, () => {
  const lies: FaultName[] = namesOf(LIES);
  const transient: FaultName[] = namesOf(TRANSIENT_FAULTS);
  const lasting: FaultName[] = namesOf(LASTING_FAULTS);

  for (const fault of [...lies, ...transient, ...lasting]) {
    it(`${fault}: the honest server behind it gives the block`, () =>
      using(async (keep) => {
        const honest = keep(await startHonestServer(blocks));
        const bad = keep(await faulty(fault, { honestUrl: honest.url }));
        const set = keep(setOf([bad.url, honest.url]));
        assertRight(await fetchFrom(set));
        assert.equal(bad.requestCount(block.hash), 1, "it was asked first, and once");
        await until("its connection is closed or idle", () => bad.openConnections() <= 1);
        assert.ok(bad.bytesSent() < 4e6, "it was cut off");
      }));

    it(`${fault} alone: a typed error that says so, before the deadline`, () =>
      using(async (keep) => {
        const honest = keep(await startHonestServer(blocks));
        const bad = keep(await faulty(fault, { honestUrl: honest.url }));
        const set = keep(setOf([bad.url]));
        const begin = performance.now();
        const error = await failureOf(fetchFrom(set));
        assert.ok(performance.now() - begin < 5_000);
        assert.equal(error.message, `block ${block.hash} could not be had from 1 server`);
        assert.equal(error.details.length, 1);
        const [line = ""] = error.details;
        assert.ok(line.startsWith(`${bad.url}: `) && !line.endsWith(": "), line);
        if (lies.includes(fault)) assert.match(line, /wrong hash, banned 10 min$/);
        const count = bad.requestCount(block.hash);
        if (transient.includes(fault)) assert.ok(count > 1, `${line}: it is asked again`);
        else assert.equal(count, 1, `${line}: it is not asked again`);
        assert.equal(honest.store.readCount(), 0, "no redirect is followed");
      }));
  }

  it("refuses connections alone: a typed error", () =>
    using(async (keep) => {
      const url = await refusingUrl();
      const set = keep(setOf([url]));
      const error = await failureOf(fetchFrom(set));
      assert.match(error.details[0] ?? "", /: connection refused \(asked \d+ times\)$/);
    }));

  it("does not finish a TLS handshake: the next one is asked after the connect timeout", () =>
    using(async (keep) => {
      const honest = keep(await startHonestServer(blocks));
      const silent = keep(await faulty("stalledBeforeHeaders"));
      const url = silent.url.replace("http:", "https:");
      const set = keep(setOf([url, honest.url], { connectTimeoutMs: 100 }));
      assertRight(await fetchFrom(set));
      await until("its connection is closed", () => silent.openConnections() === 0);
    }));

  it("speaks no TLS where the address says https: it is not asked without", () =>
    using(async (keep) => {
      const server = keep(
        await startFaultyServer({ blocks, seed, fault: "garbage", greeting: "220 hello\r\n" }),
      );
      const set = keep(setOf([server.url.replace("http:", "https:")]));
      const error = await failureOf(fetchFrom(set));
      assert.match(error.details[0] ?? "", /: TLS failed: /);
      assert.equal(server.requestCount(), 0);
    }));

  for (const fault of namesOf(HARMLESS)) {
    it(`${fault} is unusual and right`, () =>
      using(async (keep) => {
        const server = keep(await faulty(fault));
        assertRight(await fetchFrom(keep(setOf([server.url]))));
      }));
  }

  it("changes its fault at every request: the honest one behind it gives every block", () =>
    using(async (keep) => {
      const many = Array.from({ length: 30 }, (_, index) => seededBlock(`m${index}`, 3000));
      const names: FaultName[] = [...lasting, ...transient, ...namesOf(HARMLESS)];
      const fault = (hash: string, nth: number): FaultName =>
        names[(Number.parseInt(hash.slice(0, 6), 16) + nth) % names.length] ?? "none";
      const bad = keep(await startFaultyServer({ blocks: many, seed, fault }));
      const honest = keep(await startHonestServer(many));
      const set = keep(setOf([bad.url, honest.url]));
      for (const { hash, bytes } of many) {
        assert.deepEqual(Buffer.from((await fetchFrom(set, hash)).bytes), Buffer.from(bytes));
      }
    }));
});

describe("the server set", () => {
  it("FETCH-3: survives that its only server is killed and started again", () =>
    using(async (keep) => {
      const first = await startHonestServer(blocks);
      const set = keep(setOf([first.url], { patienceMs: 20_000 }));
      assertRight(await fetchFrom(set));
      await first.close();
      const fetching = fetchFrom(set, other.hash);
      await until("it noticed", () => (set.status()[0]?.failuresInRow ?? 0) > 4);
      assert.equal(set.status()[0]?.state, "resting");
      keep(await startHonestServer(blocks, { port: first.port }));
      assert.deepEqual(Buffer.from((await fetching).bytes), Buffer.from(other.bytes));
      assert.equal(set.status()[0]?.state, "ready");
    }));

  it("survives that its only server is killed in the middle of a block", () =>
    using(async (keep) => {
      const first = await faulty("stalledInBody");
      const limits = { patienceMs: 20_000, slowWindowMs: 10_000 };
      const set = keep(setOf([first.url], limits));
      const fetching = fetchFrom(set);
      await until("it began", () => first.bytesSent() > 100);
      await first.close();
      keep(await startHonestServer(blocks, { port: first.port }));
      assertRight(await fetching);
    }));

  it("FETCH-2: asks a server that lied once, bans it, and says so in the log", () =>
    using(async (keep) => {
      const lines: string[] = [];
      const log = createLogger((level, message) => lines.push(`${level} ${message}`));
      const liar = keep(await faulty("flippedBit"));
      const honest = keep(await startHonestServer(blocks));
      const set = keep(setOf([liar.url, honest.url], {}, log));
      assertRight(await fetchFrom(set));
      for (const { hash } of [block, other, block]) await fetchFrom(set, hash);
      assert.equal(liar.requestCount(), 1);
      assert.deepEqual(
        set.status().map(({ state }) => state),
        ["banned", "ready"],
      );
      assert.deepEqual(lines, [
        `warn ${liar.url} gave wrong bytes for block ${block.hash}`,
        `warn ${liar.url} is banned for 10 min`,
      ]);
    }));

  it("says of a banned server that it was not asked", () =>
    using(async (keep) => {
      const liar = keep(await faulty("wrongBytes"));
      const set = keep(setOf([liar.url]));
      await failureOf(fetchFrom(set));
      const error = await failureOf(fetchFrom(set, other.hash));
      assert.match(error.details[0] ?? "", /not asked: banned for 10 min more/);
    }));

  it("takes right bytes of unknown length that were cut short for a failure, not for a lie", () =>
    using(async (keep) => {
      const server = keep(
        await startFaultyServer({
          blocks,
          seed,
          fault: (_, nth) => (nth === 1 ? "shortWithoutLength" : "withoutLength"),
        }),
      );
      assertRight(await fetchFrom(keep(setOf([server.url]))));
    }));

  it("remembers a 404 for its time, for that block alone", () =>
    using(async (keep) => {
      const without = keep(await startFaultyServer({ blocks: [other], seed, fault: "none" }));
      const honest = keep(await startHonestServer([block]));
      const set = keep(setOf([without.url, honest.url]));
      for (let nth = 0; nth < 3; nth += 1) assertRight(await fetchFrom(set));
      assert.equal(without.requestCount(block.hash), 1);
      // Only this server has the other one.
      await fetchFrom(set, other.hash);
      assert.equal(without.requestCount(other.hash), 1);

      const quick = keep(setOf([without.url], { notFoundMemoryMs: 1 }));
      const asked = () => without.requestCount(block.hash);
      const before = asked();
      await until("it is asked again", () => {
        void fetchFrom(quick).catch(() => undefined);
        return asked() > before + 1;
      });
    }));

  it("fails at once where every answer is final", () =>
    using(async (keep) => {
      const servers = [keep(await faulty("status404")), keep(await faulty("status403"))];
      const set = keep(
        setOf(
          servers.map(({ url }) => url),
          { patienceMs: 3_600_000 },
        ),
      );
      const error = await failureOf(fetchFrom(set));
      assert.equal(error.message, `block ${block.hash} could not be had from 2 servers`);
      assert.deepEqual(error.details, [
        `${servers[0]?.url ?? ""}: 404`,
        `${servers[1]?.url ?? ""}: status 403`,
      ]);
    }));

  it("does not wait at all where patience is 0", () =>
    using(async (keep) => {
      const server = keep(await faulty("status503"));
      await failureOf(fetchFrom(keep(setOf([server.url], { patienceMs: 0 }))));
      assert.equal(server.requestCount(), 1);
    }));

  it("gives one reader one server and the others a try, and spreads what is fetched at once", () =>
    using(async (keep) => {
      const many = Array.from({ length: 12 }, (_, index) => seededBlock(`s${index}`, 3000));
      const servers = await Promise.all(
        [1, 2, 3].map(() => startFaultyServer({ blocks: many, seed, fault: "none" })),
      );
      for (const server of servers) keep(server);
      const set = keep(setOf(servers.map(({ url }) => url)));
      for (const { hash } of many) await fetchFrom(set, hash);
      const counts = () => servers.map((server) => server.requestCount());
      const [first = 0, ...others] = counts();
      assert.equal(first + Math.max(...others), 12, "one of the others was tried once");
      assert.equal(Math.max(...others), 1);
      // undici lets a connection rest for one turn of the loop, so one reader alternates between two.
      assert.ok((servers[0]?.mostConnections() ?? 0) <= 2, "connections are kept");
      await Promise.all(many.map(({ hash }) => fetchFrom(set, hash)));
      assert.equal(
        counts().reduce((sum, count) => sum + count, 0),
        24,
      );
      assert.ok(counts().filter((count) => count > 1).length > 1, counts().join());
    }));

  it("opens no more connections to a server than its limit", () =>
    using(async (keep) => {
      const many = Array.from({ length: 12 }, (_, index) => seededBlock(`s${index}`, 3000));
      const server = keep(await startFaultyServer({ blocks: many, seed, fault: "none" }));
      const set = keep(setOf([server.url], { connectionsPerServer: 2 }));
      await Promise.all(many.map(({ hash }) => fetchFrom(set, hash)));
      assert.equal(server.requestCount(), 12);
      assert.equal(server.mostConnections(), 2);
    }));

  it("FETCH-4: asks for the block under the base path, as it is, with the credentials", () =>
    using(async (keep) => {
      const lines: string[] = [];
      const log = createLogger((_, message) => lines.push(message), "debug");
      const server = keep(await faulty("status401"));
      const address = server.url.replace("//", "//ann:hunter2@");
      const set = keep(setOf([`${address}/a/b`], {}, log));
      const error = await failureOf(fetchFrom(set));
      const [head = ""] = server.requestHeads();
      assert.match(head, new RegExp(`^GET /a/b/${block.hash} HTTP/1\\.1\r\n`));
      assert.match(head, /\r\naccept-encoding: identity\r\n/i);
      assert.match(head, /\r\nauthorization: Basic YW5uOmh1bnRlcjI=(\r\n|$)/i);
      const hint = "status 401: it wants a name and password, or a header";
      assert.deepEqual(error.details, [`${server.url}/a/b: ${hint}`]);
      const shown = [...lines, ...error.details, error.stack, JSON.stringify(set.status())];
      assert.doesNotMatch(shown.join("\n"), /hunter2|YW5uOmh1bnRlcjI/);
    }));

  it("an abort closes the connection, whatever it waits for", () =>
    using(async (keep) => {
      for (const fault of ["stalledBeforeHeaders", "stalledInBody", "endlessHeaders"] as const) {
        const server = keep(await faulty(fault));
        const set = keep(setOf([server.url], { headersTimeoutMs: 60_000, slowWindowMs: 60_000 }));
        const controller = new AbortController();
        const fetching = fetchFrom(set, block.hash, controller.signal);
        await until("it is asked", () => server.requestCount() === 1);
        const reason = new Error("enough");
        controller.abort(reason);
        await assert.rejects(fetching, reason);
        await until("the connection is closed", () => server.openConnections() === 0, 1_000);
        assert.equal(set.status()[0]?.requestsUnderWay, 0);
        assert.equal(set.status()[0]?.failuresInRow, 0, "the server is not to blame");
      }
    }));

  it("an abort ends the pause between rounds", () =>
    using(async (keep) => {
      const server = keep(await faulty("status503"));
      const limits = { roundPauseMs: 60_000, patienceMs: 120_000 };
      const set = keep(setOf([server.url], limits));
      const controller = new AbortController();
      const fetching = fetchFrom(set, block.hash, controller.signal);
      await until("a round is over", () => set.status()[0]?.failuresInRow === 1);
      controller.abort(new Error("enough"));
      await assert.rejects(fetching, /enough/);
    }));

  it("close ends what is under way and leaves no connection", () =>
    using(async (keep) => {
      const stalled = keep(await faulty("stalledInBody"));
      const honest = keep(await faulty("none"));
      const set = setOf([honest.url, stalled.url], { slowWindowMs: 60_000 });
      await fetchFrom(set);
      const stuck = setOf([stalled.url], { slowWindowMs: 60_000 });
      const fetching = fetchFrom(stuck);
      fetching.catch(() => undefined);
      await until("it is asked", () => stalled.requestCount() === 1);
      await Promise.all([set.close(), stuck.close()]);
      await assert.rejects(fetching, (error) => isPsyncError(error, "ERR_PSYNC_INTERRUPTED"));
      await assert.rejects(fetchFrom(set), (error) => isPsyncError(error, "ERR_PSYNC_INTERRUPTED"));
      await until("no connection is left", () =>
        [stalled, honest].every((server) => server.openConnections() === 0),
      );
    }));

  it("without servers says how to name one", async () => {
    const set = setOf([]);
    const error = await failureOf(fetchFrom(set));
    assert.match(error.hint ?? "", /--server .*PSYNC_SERVERS/);
    await set.close();
  });
});

after(async () => {
  // Whatever is open now keeps this process from ending, which is how a leak would show.
  const leaked = (): string[] =>
    process.getActiveResourcesInfo().filter((name) => /TCP(Socket|Server)Wrap/.test(name));
  await until("every socket is closed", () => leaked().length === 0, 2_000);
});

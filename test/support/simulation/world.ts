/** What all simulated parts of one run share: time, the network, the bytes of blocks, and the record of what happens. */
import type { BlockHash } from "../../../src/block/hash.js";
import type { BlockSource } from "../../../src/block/ports.js";
import type { LimitsOf } from "../../../src/core/limits.js";
import type { FetchOutcome } from "../../../src/fetch/outcome.js";
import { createEventClock, type EventClock } from "./eventClock.js";
import type { Library } from "./library.js";
import { createNetwork, type Network } from "./network.js";
import type { RequestEnd, RequestRecord } from "./record.js";

export interface World {
  readonly seed: number;
  readonly clock: EventClock;
  readonly network: Network;
  readonly limits: LimitsOf<"fetch">;
  readonly requests: readonly RequestRecord[];
  readonly trace: readonly string[];
  /** Adds a line to the trace, where there is one. */
  note(line: () => string): void;
  readonly blockIndexOf: Library["blockIndexOf"];
  readonly bytesOf: Library["bytesOf"];
  began(
    request: Pick<RequestRecord, "server" | "blockIndex" | "underWay" | "isBad">,
  ): RequestRecord;
  ended(record: RequestRecord, end: RequestEnd, receivedBytes: number): void;
  /** What an outcome means for whoever fetches the block. */
  endOf(hash: BlockHash, outcome: FetchOutcome): RequestEnd;
  /** Why a request for the block is aborted at this moment. */
  endOfAborted(hash: BlockHash): RequestEnd;
  /** The source, watched: so that it is known whether a request is ended because nobody wants its block any more. */
  watched(source: BlockSource): BlockSource;
}

/** @param options.isTraced whether each event is told in a line */
export function createWorld(options: {
  readonly seed: number;
  readonly library: Library;
  readonly limits: LimitsOf<"fetch">;
  readonly lineBytesPerSecond: number;
  readonly isTraced: boolean;
}): World {
  const { seed, library, limits, lineBytesPerSecond, isTraced } = options;
  const clock = createEventClock();
  const requests: RequestRecord[] = [];
  const trace: string[] = [];
  const givenUpMs = new Map<BlockHash, number>();
  const had = new Set<BlockHash>();

  const note = (line: () => string): void => {
    if (isTraced) trace.push(`${clock.nowMs().toFixed(1).padStart(9)} ms  ${line()}`);
  };

  return {
    seed,
    clock,
    network: createNetwork({ clock, lineBytesPerSecond }),
    limits,
    requests,
    trace,
    note,
    blockIndexOf: library.blockIndexOf,
    bytesOf: library.bytesOf,
    began(request) {
      const record: RequestRecord = {
        ...request,
        beganMs: clock.nowMs(),
        headMs: undefined,
        endedMs: Infinity,
        end: "underWay",
        receivedBytes: 0,
      };
      requests.push(record);
      note(() => `${record.server} ← block ${record.blockIndex} (${record.underWay} under way)`);
      return record;
    },
    ended(record, end, receivedBytes) {
      record.end = end;
      record.endedMs = clock.nowMs();
      record.receivedBytes = receivedBytes;
      note(() => `${record.server} → block ${record.blockIndex}: ${end}, ${receivedBytes} bytes`);
    },
    endOf(hash, outcome) {
      if (outcome.type !== "bytes") return outcome.type;
      const right = library.bytesOf(library.blockIndexOf(hash));
      if (outcome.bytes !== right) return outcome.endMarked ? "lie" : "failed";
      if (had.has(hash)) return "late";
      had.add(hash);
      return "right";
    },
    endOfAborted: (hash) => (givenUpMs.get(hash) === clock.nowMs() ? "givenUp" : "lost"),
    watched: (source) => ({
      async fetch(request) {
        const { hash, signal } = request;
        const onAbort = (): void => {
          givenUpMs.set(hash, clock.nowMs());
        };
        had.delete(hash);
        // Before the source listens itself, so that this is called first.
        signal.addEventListener("abort", onAbort, { once: true });
        try {
          return await source.fetch(request);
        } finally {
          signal.removeEventListener("abort", onAbort);
        }
      },
    }),
  };
}

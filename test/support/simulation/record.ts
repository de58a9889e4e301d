/** What is written down of a run, for the claims to be checked afterwards. Plain data. */

/**
 * How a request ended. `right`: the block, and it was used; `late`: the block, but another server's came first;
 * `lost`: the client ended it though somebody still wanted the block; `givenUp`: nobody wanted it any more.
 */
export type RequestEnd =
  "underWay" | "right" | "late" | "lie" | "notFound" | "failed" | "lost" | "givenUp";

export interface RequestRecord {
  readonly server: string;
  readonly blockIndex: number;
  readonly beganMs: number;
  /** Requests to the server when it began, itself included. */
  readonly underWay: number;
  /** Whether the server would never have given the block in this request. */
  isBad: boolean;
  headMs: number | undefined;
  endedMs: number;
  end: RequestEnd;
  receivedBytes: number;
}

export interface ReadRecord {
  readonly reader: number;
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  readonly beganMs: number;
  endedMs: number;
  end: "underWay" | "right" | "wrong" | "gaveUp" | "failed";
  /** Why it failed. */
  reason: string;
}

export interface RunRecord {
  readonly requests: readonly RequestRecord[];
  readonly reads: readonly ReadRecord[];
  readonly endedMs: number;
  /** What was not as it should be when all was over: timers, requests, places. */
  readonly leftOver: readonly string[];
  /** Why one more fetch, after all others, brought no block; undefined: it did. */
  readonly lastFetch: string | undefined;
  readonly trace: readonly string[];
}

/**
 * Every bound that psync keeps, with its reason. Units stand at the end of the names.
 * What a user may need to change is an option of the piece that reads it; this is its default.
 */

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export const LIMITS = {
  block: {
    /** What a plain list means, and what the original psync writes. */
    defaultSizeBytes: 2 * MIB,
    /** A block is held in memory whole; a larger one would let one list eat the budget. */
    maxSizeBytes: 64 * MIB,
  },
  hashlist: {
    /** 2^24 blocks: 32 TiB of 2 MiB blocks, 512 MiB of hashes in memory. A longer list is refused. */
    maxBlockCount: 2 ** 24,
    /** A trailer is a handful of short lines; more is not a trailer. */
    maxTrailerBytes: 64 * KIB,
  },
  fetch: {
    connectTimeoutMs: 5_000,
    headersTimeoutMs: 10_000,
    /** The head of an answer; what is larger has no good reason. */
    maxHeaderBytes: 16 * KIB,
    /** Slower than this over the window, and the next server is asked. */
    slowBytesPerSecond: 16 * KIB,
    slowWindowMs: 10_000,
    /** Failures in a row after which a server rests; the rest doubles up to the maximum. */
    failuresBeforeRest: 3,
    restMs: 30_000,
    maxRestMs: 5 * 60_000,
    /** A server that lied is not asked for anything; the ban doubles up to the maximum. */
    banMs: 10 * 60_000,
    maxBanMs: 24 * 60 * 60_000,
    /** How long a 404 is believed, for one server and one block. */
    notFoundMemoryMs: 30_000,
    /** How many such 404s are remembered; the oldest go first. */
    notFoundMemoryCount: 65_536,
    /** How many wrong blocks of servers are remembered; the oldest go first. */
    wrongBlockMemoryCount: 65_536,
    /** The body of a 404 or an error is read this far, so that its connection can be used again. */
    passedOverBodyBytes: 16 * KIB,
    passedOverBodyMs: 1_000,
    /** While a server could come back (it refused, timed out, answered 5xx), rounds go on this long. */
    patienceMs: 15_000,
    /** The same for `get`, which no reader waits for: long enough for a server to be started again. */
    getPatienceMs: 60_000,
    /** Pause before the second round; doubles up to the maximum. */
    roundPauseMs: 200,
    maxRoundPauseMs: 2_000,
    /** Connections to one server; as many as there can be blocks in flight. */
    connectionsPerServer: 16,
  },
  rate: {
    /** What a limit on the rate saves up while nothing comes. */
    burstMs: 250,
    /** A read-ahead that is held back gets a piece this often all the same: its server must not take it for gone. */
    maxHoldMs: 2_000,
    /** As many blocks are fetched at once as the limit has of this: servers give up readers that take less. */
    bytesPerSecondOfBlock: 32 * KIB,
  },
  read: {
    /** One read of a mounted file. */
    deadlineMs: 30_000,
    /** `stat` of a plain list whose size is not known yet. */
    statDeadlineMs: 10_000,
    /** The kernel asks two or three times for a read that failed; it is answered from memory. */
    failedBlockMemoryMs: 5_000,
    blocksInFlight: 16,
    /** Blocks asked for ahead when a whole file is written out. */
    sequenceAheadBytes: 16 * MIB,
  },
  memory: {
    /** Verified blocks held for the next read. */
    cachedBlocksBytes: 128 * MIB,
    /** Blocks being fetched, and fetched ones not yet written to the store. */
    inFlightBytes: 64 * MIB,
    /** Blocks being read from the store and checked. */
    storeReadBytes: 64 * MIB,
    /** Hashes of lists that were read lately and are not open: two million blocks' worth. */
    listHashesBytes: 64 * MIB,
  },
  store: {
    cacheQuotaBytes: 10 * GIB,
    /** Part of the file system that the cache leaves free. */
    minFreeFraction: 0.05,
    /** Eviction goes down to this part of the quota, so that it does not run at every block. */
    evictToFraction: 0.9,
    /** Kept blocks made durable by one fsync of the folder. */
    keepBatchCount: 16,
    /** At the end of a mount, for blocks that are still being written to the cache. */
    closeWaitMs: 10_000,
    /** Blocks found kept that `get` syncs together before it says so. */
    syncBatchCount: 256,
    /** Rows of use and size that are written to the index together. */
    indexFlushMs: 1_000,
    /** Another process holds the index this long at most before a write to it is given up. */
    indexBusyMs: 5_000,
    /** SQLite waits for a lock on the calling thread, where the mount answers: this long, then a pause. */
    indexBusySliceMs: 10,
    /** Pause between two such waits, in which reads go on. */
    indexBusyPauseMs: 25,
    /** An index that could not be opened or written is tried again after this. */
    indexRetryMs: 10_000,
    /** Damaged indexes that one process replaces; after that it works without, and does not loop. */
    indexRemakeCount: 3,
    /** Uses and sizes that wait while the index fails; the oldest go first. */
    maxPendingRows: 65_536,
    /** Learned list sizes that are remembered, about 100 bytes each; the oldest go first. */
    maxListSizes: 262_144,
    /** Found blocks that a rebuild of the index writes in one transaction, under 5 ms. */
    scanBatchCount: 256,
    /** Blocks written at once by one `keep`: as many as libuv has threads, so that syncs share a commit. */
    keepWritesAtOnce: 4,
    /** Rounds of choosing and removing before a block is not cached because others fill what was freed. */
    evictionRounds: 8,
    /** A temp file whose owner cannot be looked up (another container or machine) is left this long. */
    foreignTempFileMs: 24 * 60 * 60_000,
  },
  mount: {
    /** How long the kernel may believe attributes and names: a changed list shows within this. */
    attributesValidMs: 1_000,
    /** Files whose version is remembered for as long as the kernel may have pages of them; about 250 bytes each. */
    rememberedVersions: 100_000,
    /** Inode numbers kept apart in 32 bits, of names that were listed or looked at: up to 48 bytes each, 200 MB in all. */
    rememberedInodes: 4_194_304,
    /** The first `stat` of a new mount must answer within this. */
    readyTimeoutMs: 10_000,
    /** After a signal, files that are still open are served this long. */
    unmountGraceMs: 5_000,
    /** Lists whose size and digest are held after they were asked for: some 100 bytes each and their path. */
    rememberedLists: 1_000_000,
    /** A folder of a mounted tree is listed whole; more names than this are an error, not a crash. */
    maxFolderEntries: 4_000_000,
  },
  server: {
    /** Requests answered at once, each holding one block; further ones wait. */
    maxRequests: 32,
    requestTimeoutMs: 60_000,
    /** A block that leaves slower than this, after the request timeout, gives up its place. */
    slowBytesPerSecond: 16 * KIB,
    /** Open connections; further ones are closed at once. An idle one costs a descriptor. */
    maxConnections: 1_024,
    /** A server that is told to stop finishes what is under way within this. */
    closeGraceMs: 5_000,
  },
  log: {
    /** A daemon's log is moved aside once it is larger. */
    maxFileBytes: 10 * MIB,
  },
} as const;

/** The limits of one piece with other values in their place, for tests and for users. */
export type LimitsOf<Piece extends keyof typeof LIMITS> = Readonly<
  Record<keyof (typeof LIMITS)[Piece], number>
>;

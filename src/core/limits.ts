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
    /** Pause before a server that failed is asked for the same block again; doubles up to the maximum. */
    roundPauseMs: 200,
    maxRoundPauseMs: 2_000,
    /** Connections to one server; as many as there can be blocks in flight. */
    connectionsPerServer: 32,
    /** Requests at once to a server of which nothing is known: what is lost if it is a bad one. */
    newcomerRequests: 2,
    /** Where the search for a server's own limit begins, once it has given a block. */
    firstRequestLimit: 6,
    /** One of so many requests may try a server that is new, or was not asked for this long. */
    tryEveryRequests: 8,
    tryAfterMs: 60_000,
    /** A server of which little is known is late after this, and none is late sooner than the floor. */
    raceFirstMs: 1_000,
    raceFloorMs: 100,
    /** What races may cost: a part of what was of use, and so many blocks at the start. */
    raceExtraFraction: 0.05,
    raceAllowanceBlocks: 2,
    /** However slow a server has been, its block is late after this: no headers may take 10 s, a read 30 s. */
    raceLastMs: 5_000,
    /** How often a request that is late is looked at again. */
    raceLookMs: 500,
    /** A late request that brought nothing for so long stands still. */
    standstillMs: 2_000,
    /** One that will need this much longer, and the time of its bytes at this rate, is too slow: 10 s for 2 MiB. */
    hopelessMs: 5_000,
    hopelessBytesPerSecond: 400 * KIB,
    /** What is known of servers is noted for the next start at most this often. */
    recordSaveMs: 5_000,
  },
  rate: {
    /** What a limit on the rate saves up while nothing comes: timers that are late lose none of it. */
    burstMs: 250,
  },
  read: {
    /** One read of a mounted file. */
    deadlineMs: 30_000,
    /** `stat` of a plain list whose size is not known yet. */
    statDeadlineMs: 10_000,
    /** The kernel asks two or three times for a read that failed; it is answered from memory. */
    failedBlockMemoryMs: 5_000,
    /** Blocks being fetched at once. Of 2 MiB blocks the bytes in flight allow as many; smaller ones fill a long line. */
    blocksInFlight: 32,
    /** Of these, places that read-ahead leaves free: a reader finds one, and a few more besides it. */
    blocksKeptForWaiting: 4,
    /** Blocks that one read asks for at once: they may be a byte long, and a read touch very many. */
    blocksPerReadAtOnce: 16,
    /** Blocks looked up in the store at once, when a list is counted. */
    lookUpsAtOnce: 16,
    /** Blocks asked for ahead when a whole file is written out. */
    sequenceAheadBytes: 16 * MIB,
    sequenceAheadBlocks: 16,
  },
  readAhead: {
    /** Blocks ahead of a reader in order, once the window has doubled to it: enough for most lines. */
    windowBlocks: 16,
    /** The same on a long line, if the budget has it: twice what can be in flight, since some came and wait. */
    maxWindowBlocks: 64,
    /** Readers of one open file that are told apart; each costs a look at every read. */
    streamsPerFile: 16,
    /** A stream that saw none of so many reads of its file is over. */
    streamIdleReads: 64,
    /** The kernel has up to a dozen reads of 128 KiB on their way, and they arrive in any order. */
    outOfOrderBytes: 1 * MIB,
    /** A stream that was not read for so long gives up its part of the budget when others need it. */
    idleMs: 60_000,
    /** A block that came faster was not far away. Sixteen of 64 KiB in this time are 200 MiB/s: nothing is lost. */
    nearMs: 5,
    /** The shortest block time, which a busy line hides: found again between one and two of these later. */
    blockTimeMemoryMs: 5 * 60_000,
    /** The highest rate, which goes down when the line or the reader gets slower. */
    rateMemoryMs: 10_000,
  },
  memory: {
    /** Verified blocks held for the next read. */
    cachedBlocksBytes: 128 * MIB,
    /** Blocks asked for ahead and not yet read. They lie in the cache above, so this is half of it. */
    aheadBytes: 64 * MIB,
    /** Blocks being fetched, and fetched ones not yet written to the store. */
    inFlightBytes: 64 * MIB,
    /** Of these, bytes that read-ahead leaves free: eight readers of 2 MiB blocks go past a full read-ahead. */
    inFlightKeptForWaitingBytes: 16 * MIB,
    /** Blocks being read from the store and checked. */
    storeReadBytes: 64 * MIB,
    /**
     * Of these, bytes that read-ahead leaves free. It reads eight 2 MiB blocks at once, enough to keep the disk and
     * libuv's four threads busy; a reader's block would stand behind more of them in the threads' queue.
     */
    storeReadKeptForWaitingBytes: 48 * MIB,
    /** Hashes of lists that were read lately and are not open: two million blocks' worth. */
    listHashesBytes: 64 * MIB,
  },
  store: {
    cacheQuotaBytes: 10 * GIB,
    /** Part of the file system that the cache leaves free. */
    minFreeFraction: 0.05,
    /** Eviction goes down to this part of the quota, so that it does not run at every block. */
    evictToFraction: 0.9,
    /** Blocks evicted before the one that needs their room is written: who waits for it waits for these. */
    evictBatchCount: 512,
    /** Kept blocks made durable by one fsync of the folder. */
    keepBatchCount: 16,
    /** Cached blocks written at once, so that one finds its room while another is written. More bring nothing. */
    cacheWritesAtOnce: 2,
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
    /** A store that could not be opened for writing is tried again, when there is something to write, after this. */
    reopenMs: 10_000,
    /** Damaged indexes that one process replaces; after that it works without, and does not loop. */
    indexRemakeCount: 3,
    /** Uses and sizes that wait while the index fails; the oldest go first. */
    maxPendingRows: 65_536,
    /** Learned list sizes that are remembered, about 100 bytes each; the oldest go first. */
    maxListSizes: 262_144,
    /** Servers that are remembered, some 300 bytes each; the least recently asked go first. */
    maxServers: 1_024,
    /** Found blocks that a rebuild of the index writes in one transaction, under 5 ms. */
    scanBatchCount: 256,
    /** Blocks written at once by one `keep`: as many as libuv has threads, so that syncs share a commit. */
    keepWritesAtOnce: 4,
    /** Bad cached blocks that are set aside; more are removed. Kept ones are all set aside. */
    maxCachedAside: 100,
    /** Rounds of choosing and removing before a block is not cached because others fill what was freed. */
    evictionRounds: 8,
    /** Names written to claims/ at once: 128 KiB, under a millisecond for which others wait. */
    claimBatchCount: 4_096,
    /** Who finds claims/ locked tries again after this; nobody holds it for longer than a batch takes. */
    claimRetryMs: 5,
    /** After this the other process hangs: it was stopped, or its disk does not answer. */
    claimBusyMs: 60_000,
    /** Kept blocks taken away while claims/ is locked, a few milliseconds, then a pause for those that keep. */
    sweepBatchCount: 64,
    sweepPauseMs: 5,
    /** Another `gc` or `unpin` is waited for this long; one that ends claims holds the same lock for an instant. */
    sweepBusyMs: 2_000,
    /** A temp file whose owner cannot be looked up (another container or machine) is left this long. */
    foreignTempFileMs: 24 * 60 * 60_000,
  },
  check: {
    /** Blocks that `fsck` reads and checks at once, unless said otherwise, and at most. */
    jobs: 2,
    maxJobs: 64,
    /** Names that are held in order at once, some 100 bytes each; a larger store is listed once for each such part. */
    sliceCount: 65_536,
    /** How often a check that runs notes how far it is: so much work is lost to a kill. */
    saveMs: 5_000,
    /** A check that was interrupted goes on where it was for so long; after that, what was checked may have changed. */
    resumeMs: 24 * 60 * 60_000,
    /** Failures in a row, each after a wait, after which servers are not asked any more. */
    giveUpFailures: 8,
    slowFailureMs: 1_000,
    /** Bad blocks and strange names that are told apart; what is more is only counted. */
    maxNamed: 100_000,
    /** Places in lists that are told of one block: a block of zeros may stand in very many. */
    placesOfBlock: 16,
  },
  scrub: {
    /** A mount reads its store this fast to check it, while nobody waits for a read: a tenth of what a hard disk can. */
    bytesPerSecond: 8 * MIB,
    /** In so long every block is checked: a store of more than 20 TiB is read faster, up to a rate that disks do not feel. */
    passMs: 30 * 24 * 60 * 60_000,
    maxBytesPerSecond: 64 * MIB,
    /** From the begin of a pass to the begin of the next one: a small store is not read again and again. */
    passEveryMs: 14 * 24 * 60 * 60_000,
    /** A smaller block counts as this: finding a file costs, too. */
    leastBlockBytes: 64 * KIB,
    /** After the last read that somebody waited for. */
    quietMs: 1_000,
    /** A mount that has just begun has better things to do. */
    startAfterMs: 60_000,
    /** The place is noted so often, and lost at a kill at most so much. */
    saveMs: 30_000,
    /** One process of those that share a store checks; when it was killed, another one goes on after this. */
    leaseMs: 5 * 60_000,
    /** How often it is looked whether a pass is due, and lost blocks can be had again. */
    lookAgainMs: 60 * 60_000,
    /** Names held in order at once: about an hour's work. */
    sliceCount: 16_384,
  },
  seeds: {
    /** Smaller blocks are not looked for in seeds: each costs some 100 bytes of the index. */
    minBlockSizeBytes: 4 * KIB,
    /** Block sizes that one process looks for; a folder of lists has one or two. */
    maxBlockSizes: 8,
    /** Names of blocks that are written to the index in one transaction: each may touch a page of its own. */
    batchCount: 64,
    /** The same in bytes of the file, so that they are found a second later. */
    batchBytes: 64 * MIB,
    /** Seeds of one block that are looked at before it is not there. */
    candidateCount: 16,
    /** A read waits for no more than this much being hashed, about a millisecond. */
    pieceBytes: 256 * KIB,
    /** What a mount or a server reads of seeds to hash them. */
    bytesPerSecond: 64 * MIB,
    /** A piece counts as this much at least, since each block is a row of the index: a thousand rows a second. */
    pieceCostBytes: 64 * KIB,
    /** Pause between two batches of rows that are removed behind a mount or a server. */
    sweepPauseMs: 50,
    /** Hashing waits for reads of the store this long at each piece; under a load that never ends it goes on. */
    quietWaitMs: 1_000,
    /** What psync reads of a seed in one call: a slow disk answers it long before the deadline. */
    callBytes: 4 * MIB,
    /** A call on a seed's file system that takes longer hangs; a hard disk that sleeps needs ten seconds. */
    callTimeoutMs: 15_000,
    /** Calls that hang at once, each in one of libuv's four threads; after that no seed is asked until one returns. */
    hangingCalls: 2,
    /** The table of mounts is read again after this. */
    mountTableMs: 1_000,
    /** What could not be hashed, since the index or a file system did not answer, is tried again after this. */
    retryMs: 60_000,
    /** Files that are known to have changed, or to have been hashed lately, some 200 bytes each. */
    maxNoted: 65_536,
    /** Lines of the list that say nothing any more, beside as many as there are files, before it is written anew. */
    maxStaleLines: 1_024,
    /** Who can have a block from nowhere else looks this often whether it is known by now. */
    lookAgainMs: 200,
    /** A seed that changes is hashed again by the same process after this; it may be a download that still grows. */
    hashAgainMs: 10 * 60_000,
    /** Files that are remembered besides those the store lists, some 200 bytes each; the oldest go first. */
    maxRemembered: 262_144,
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
    /** Blocks fetched from other servers at once, each counted until its clients have it; as many as there are connections to one. */
    maxPulls: 16,
    /** How long a block may be is not known to a server, so each fetched one counts as 64 MiB: sixteen at once. Those of 2 MiB take a 32nd of it. */
    pullBytes: GIB,
    /** Fetched blocks held for who asks while they are being written, and where the store caches nothing. */
    pulledBlocksBytes: 32 * MIB,
    /** Servers that could come back are waited for this long, so that the answer comes in time. */
    pullPatienceMs: 5_000,
    /** A psync waits `fetch.headersTimeoutMs` for an answer; before that it is told to ask again. */
    pullAnswerMs: 8_000,
    /** A fetch that has begun goes on this long, whoever still waits for it. */
    pullDeadlineMs: 60_000,
    /** A block that nobody had is not asked for again for this long. */
    failedPullMemoryMs: 5_000,
    /** What each server did is told once a block in this time, for so many blocks; the rest is for `-v`. */
    explainedPullMs: 60_000,
    explainedPullCount: 100,
    /** Servers that may stand in a row; a request that came through as many is taken for one in a circle. */
    maxHops: 8,
    /** A server that is told to stop finishes what is under way within this. */
    closeGraceMs: 5_000,
  },
  log: {
    /** A daemon's log is moved aside once it is larger. */
    maxFileBytes: 10 * MIB,
    /** Trouble that lasts, such as a full disk, is said again after this. */
    troubleMs: 60_000,
  },
} as const;

/** The limits of one piece with other values in their place, for tests and for users. */
export type LimitsOf<Piece extends keyof typeof LIMITS> = Readonly<
  Record<keyof (typeof LIMITS)[Piece], number>
>;

/**
 * The public API: hashlists, verification, the store, servers, and a listed file as something that can be read.
 * What is not exported here may change without notice. Promises: docs/semantics.md.
 */
export { ERROR_TABLE, isPsyncError, PsyncError, type ErrorCode } from "./core/errors.js";
export { createLogger, type Logger, type LogLevel } from "./core/log.js";
export { systemClock, type Clock } from "./core/clock.js";
export type { FreeSpace } from "./core/bytes.js";
export { parseBlockHash, type BlockHash } from "./block/hash.js";
export type { HashSet } from "./block/hashSet.js";
export { blockOf, verifyBlock, type VerifiedBlock } from "./block/verify.js";
export type {
  BlockPlace,
  BlockRequest,
  BlockSource,
  BlockStore,
  SeedFile,
  SeedKeeper,
  SeedWriter,
  ServerMemory,
  ServerRecord,
  SizeMemory,
  StoredBlock,
  Sweep,
  SweepTo,
  SweepTotals,
} from "./block/ports.js";
export { formatHashlist } from "./hashlist/format.js";
export type { Hashlist, TrailerLine } from "./hashlist/hashlist.js";
export { parseHashlist, type ParseOptions } from "./hashlist/parse.js";
export { readHashlist } from "./hashlist/readHashlist.js";
export { fileSize } from "./view/fileSize.js";
export { blocksInOrder } from "./view/sequence.js";
export { createSharedReadAhead, type SharedReadAhead } from "./view/readAhead.js";
export { createView, type ByteRange, type View } from "./view/view.js";
export { openStore, type Store, type StoredServers, type StoreOptions } from "./store/openStore.js";
export type { LostSeed } from "./store/lostSeeds.js";
export type { HashSeedsOptions, StoreSeeds } from "./store/storeSeeds.js";
export { readProxies, type Proxies } from "./fetch/proxies.js";
export { parseServer, type ServerSettings } from "./fetch/serverSettings.js";
export { createReadPath, createServers, type ReadPath } from "./compose.js";

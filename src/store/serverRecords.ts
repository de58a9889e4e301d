/**
 * What is believed of a record of a server, and how two of one server become one. Pure: the time is passed in.
 * It knows nothing of where records lie.
 */
import type { ServerRecord } from "../block/ports.js";
import { LIMITS } from "../core/limits.js";

interface Range {
  readonly min: number;
  readonly max: number;
  /** It may be unknown. */
  readonly optional?: true;
}

/** Past these a number is a mistake or damage. Wide, since a record that is left out has to be learned again. */
const RANGES: Readonly<Record<keyof ServerRecord, Range>> = {
  firstByteMs: { min: 0, max: 86_400_000, optional: true },
  bytesPerSecond: { min: 0, max: 1e12, optional: true },
  requestLimit: { min: 0, max: 65_536 },
  failedFraction: { min: 0, max: 1 },
  notFoundFraction: { min: 0, max: 1 },
  blockCount: { min: 0, max: Number.MAX_SAFE_INTEGER },
  lieCount: { min: 0, max: Number.MAX_SAFE_INTEGER },
  banMs: { min: 0, max: LIMITS.fetch.maxBanMs },
  banEndUnixMs: { min: 0, max: Number.MAX_SAFE_INTEGER },
  askedUnixMs: { min: 0, max: Number.MAX_SAFE_INTEGER },
};

/** Clocks are set back by a little now and then; a record from further ahead was made under a wrong clock. */
const CLOCK_SLACK_MS = 60_000;
const MAX_ADDRESS_CHARS = 4_096;

/** Whether records are kept under such a name: nothing with credentials before its host is ever written. */
export function isServerAddress(address: string): boolean {
  return (
    address.length > 0 && address.length <= MAX_ADDRESS_CHARS && !/^[^/]*\/\/[^/]*@/.test(address)
  );
}

/**
 * A copy of a record with the fields it has to have and no others.
 *
 * @returns undefined: a number is missing, not finite or out of range, or its times lie in the future. A clock that
 *   was once ahead could else ban a server for years, and no later record would count as newer
 */
export function sensibleRecord(value: unknown, nowUnixMs: number): ServerRecord | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  for (const [name, range] of Object.entries(RANGES)) {
    if (!isInRange(fields[name], range)) return undefined;
  }
  const record = fieldsOf(value as ServerRecord);
  const latestUnixMs = nowUnixMs + CLOCK_SLACK_MS;
  if (record.askedUnixMs > latestUnixMs) return undefined;
  return record.banEndUnixMs > latestUnixMs + LIMITS.fetch.maxBanMs ? undefined : record;
}

/**
 * The later record, with the ban that ends later: what one process learned of a lie is not lost by what another one
 * writes.
 */
export function mergeRecords(stored: ServerRecord, incoming: ServerRecord): ServerRecord {
  const later = incoming.askedUnixMs < stored.askedUnixMs ? stored : incoming;
  const { banMs, banEndUnixMs } = incoming.banEndUnixMs < stored.banEndUnixMs ? stored : incoming;
  return { ...later, banMs, banEndUnixMs };
}

function isInRange(value: unknown, { min, max, optional }: Range): boolean {
  if (value === undefined) return optional === true;
  return typeof value === "number" && value >= min && value <= max;
}

function fieldsOf(record: ServerRecord): ServerRecord {
  const { firstByteMs, bytesPerSecond, requestLimit, failedFraction, notFoundFraction } = record;
  const { blockCount, lieCount, banMs, banEndUnixMs, askedUnixMs } = record;
  return {
    firstByteMs,
    bytesPerSecond,
    requestLimit,
    failedFraction,
    notFoundFraction,
    blockCount,
    lieCount,
    banMs,
    banEndUnixMs,
    askedUnixMs,
  };
}

/**
 * When a mount checks which block of its store: rates, pauses, whose turn it is, and what is remembered of it. Pure: no
 * clock, no disk, no index. Times of day are ms since 1970, since they have to be understood after a restart.
 */
import { parseBlockHash } from "../block/hash.js";
import type { BlockPlace } from "../block/ports.js";
import { LIMITS } from "../core/limits.js";

const { scrub } = LIMITS;

/** Where checking is, for all processes that share the store. It is a note in the index, and may be lost. */
export interface ScrubNote {
  readonly place: BlockPlace;
  /** The last name that was looked at; "": none. */
  readonly after: string;
  readonly beganUnixMs: number;
  readonly isDone: boolean;
  /** What this pass has read. */
  readonly bytes: number;
  /** What a pass has to read, as far as is known. */
  readonly expectedBytes: number;
  /** Who checks now, and until when nobody else does. */
  readonly owner: string;
  readonly leaseEndUnixMs: number;
}

/** Somebody's turn, or how long to wait before it is asked for again. */
export type Turn =
  | { readonly kind: "go"; readonly note: ScrubNote; readonly isNewPass: boolean }
  | { readonly kind: "wait"; readonly waitMs: number };

/**
 * Decides whose turn it is. One process at a time checks; a pass begins `scrub.passEveryMs` after the one before began.
 *
 * @param text the note as it stands in the index; what makes no sense is as if it were not there
 */
export function planTurn(
  text: string | undefined,
  { owner, nowUnixMs }: { readonly owner: string; readonly nowUnixMs: number },
): Turn {
  const note = parseNote(text);
  const leaseEndUnixMs = nowUnixMs + scrub.leaseMs;
  // A clock that was set back leaves times in the future; nobody waits for those.
  const isBelieved = note !== undefined && note.beganUnixMs <= nowUnixMs;
  if (!isBelieved) return { kind: "go", isNewPass: true, note: newPass(0) };
  const isTaken = note.owner !== owner && note.leaseEndUnixMs > nowUnixMs;
  if (isTaken && note.leaseEndUnixMs <= leaseEndUnixMs) {
    return { kind: "wait", waitMs: note.leaseEndUnixMs - nowUnixMs };
  }
  if (!note.isDone) {
    return { kind: "go", isNewPass: false, note: { ...note, owner, leaseEndUnixMs } };
  }
  const waitMs = note.beganUnixMs + scrub.passEveryMs - nowUnixMs;
  return waitMs > 0
    ? { kind: "wait", waitMs }
    : { kind: "go", isNewPass: true, note: newPass(note.bytes) };

  function newPass(expectedBytes: number): ScrubNote {
    const began = { place: "kept", after: "", beganUnixMs: nowUnixMs, isDone: false } as const;
    return { ...began, bytes: 0, expectedBytes, owner, leaseEndUnixMs };
  }
}

export function formatNote(note: ScrubNote): string {
  return JSON.stringify(note);
}

export function parseNote(text: string | undefined): ScrubNote | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const read = value as Readonly<Record<string, unknown>>;
  const { place, after, beganUnixMs, isDone, bytes, expectedBytes, owner, leaseEndUnixMs } = read;
  if (place !== "kept" && place !== "cached") return undefined;
  if (typeof after !== "string" || (after !== "" && parseBlockHash(after) !== after)) {
    return undefined;
  }
  if (typeof isDone !== "boolean" || typeof owner !== "string") return undefined;
  if (!isCount(beganUnixMs) || !isCount(leaseEndUnixMs)) return undefined;
  if (!isCount(bytes) || !isCount(expectedBytes)) return undefined;
  return { place, after, beganUnixMs, isDone, bytes, expectedBytes, owner, leaseEndUnixMs };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** How fast a store is read: gently, and faster only where a pass would otherwise take longer than it may. */
export function scrubBytesPerSecond(storeBytes: number): number {
  const neededBytesPerSecond = storeBytes / (scrub.passMs / 1000);
  return Math.min(Math.max(neededBytesPerSecond, scrub.bytesPerSecond), scrub.maxBytesPerSecond);
}

/** The pause after a block, so that the rate is kept whatever the disk can do. */
export function pauseAfterMs(options: {
  readonly sizeBytes: number;
  readonly tookMs: number;
  readonly bytesPerSecond: number;
}): number {
  const { sizeBytes, tookMs, bytesPerSecond } = options;
  const countedBytes = Math.max(sizeBytes, scrub.leastBlockBytes);
  return Math.max(0, (countedBytes * 1000) / bytesPerSecond - tookMs);
}

/** What readers of the mount do. */
export interface Readers {
  /** Requests that somebody waits for. */
  readonly waitingCount: number;
  /** When the last such request ended, by the clock that is asked for now. */
  readonly lastEndedMs: number;
}

/** How long to wait before the next look at a disk that readers may want; 0: nobody does. */
export function waitForReadersMs({ waitingCount, lastEndedMs }: Readers, nowMs: number): number {
  if (waitingCount > 0) return scrub.quietMs;
  return Math.max(0, lastEndedMs + scrub.quietMs - nowMs);
}

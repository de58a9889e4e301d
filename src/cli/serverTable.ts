/** What is remembered of servers, as data and as a table. Pure: the time is passed in. */
import type { ServerRecord } from "../block/ports.js";
import { formatDuration } from "../core/duration.js";
import { formatTable } from "./output.js";

/** One server as `psync servers --json` shows it; null: not known. */
export interface ServerRow {
  readonly server: string;
  readonly configured: boolean;
  readonly state: "ready" | "banned" | "neverAsked";
  /** 0 where it is not banned. */
  readonly banRemainingMs: number;
  readonly firstByteMs: number | null;
  readonly bytesPerSecond: number | null;
  readonly requestLimit: number | null;
  readonly blockCount: number;
  readonly failedFraction: number | null;
  readonly notFoundFraction: number | null;
  readonly lieCount: number;
  readonly askedUnixMs: number | null;
}

export interface KnownServers {
  /** Names without credentials, in the order of preference. */
  readonly configured: readonly string[];
  readonly records: ReadonlyMap<string, ServerRecord>;
  readonly nowUnixMs: number;
}

/** Configured servers in their order, then the others that are remembered, the last asked first. */
export function serverRows({ configured, records, nowUnixMs }: KnownServers): ServerRow[] {
  const first = new Set(configured);
  const others = [...records]
    .filter(([server]) => !first.has(server))
    .sort(([, a], [, b]) => b.askedUnixMs - a.askedUnixMs);
  return [
    ...[...first].map((server) =>
      rowOf(records.get(server), { server, configured: true, nowUnixMs }),
    ),
    ...others.map(([server, record]) => rowOf(record, { server, configured: false, nowUnixMs })),
  ];
}

/** The rows as text in columns, under a line that names them. */
export function formatServers(rows: readonly ServerRow[], nowUnixMs: number): string {
  const cells = rows.map((row) => [
    row.server,
    describeState(row),
    shown(row.firstByteMs, (ms) => `${Math.round(ms)} ms`),
    shown(row.bytesPerSecond, (speed) => `${(speed / 1e6).toFixed(1)} MB/s`),
    shown(row.requestLimit, (limit) => `${Math.max(1, Math.round(limit))}`),
    `${row.blockCount}`,
    shown(row.failedFraction, formatPercent),
    shown(row.notFoundFraction, formatPercent),
    `${row.lieCount}`,
    shown(row.askedUnixMs, (unixMs) => formatAgo(nowUnixMs - unixMs)),
  ]);
  return formatTable([COLUMNS, ...cells]);
}

const COLUMNS = [
  "SERVER",
  "STATE",
  "FIRST BYTE",
  "SPEED",
  "LIMIT",
  "BLOCKS",
  "FAILED",
  "404",
  "LIES",
  "LAST ASKED",
] as const;

function rowOf(
  record: ServerRecord | undefined,
  {
    nowUnixMs,
    ...named
  }: Pick<ServerRow, "server" | "configured"> & { readonly nowUnixMs: number },
): ServerRow {
  const banRemainingMs = Math.max(0, (record?.banEndUnixMs ?? 0) - nowUnixMs);
  const asked = record !== undefined && record.askedUnixMs > 0 ? record : undefined;
  return {
    ...named,
    state: banRemainingMs > 0 ? "banned" : asked ? "ready" : "neverAsked",
    banRemainingMs,
    firstByteMs: asked?.firstByteMs ?? null,
    bytesPerSecond: asked?.bytesPerSecond ?? null,
    requestLimit: asked?.requestLimit ?? null,
    blockCount: asked?.blockCount ?? 0,
    failedFraction: asked?.failedFraction ?? null,
    notFoundFraction: asked?.notFoundFraction ?? null,
    lieCount: asked?.lieCount ?? 0,
    askedUnixMs: asked?.askedUnixMs ?? null,
  };
}

function describeState({ state, banRemainingMs }: ServerRow): string {
  switch (state) {
    case "ready":
      return "ready";
    case "banned":
      return `banned ${formatDuration(banRemainingMs)}`;
    case "neverAsked":
      return "never asked";
  }
}

function shown(value: number | null, format: (value: number) => string): string {
  return value === null ? "-" : format(value);
}

/** What is rare must not look like never. */
function formatPercent(fraction: number): string {
  const percent = Math.round(fraction * 100);
  return percent === 0 && fraction > 0 ? "<1 %" : `${percent} %`;
}

const DAY_MS = 24 * 60 * 60_000;

function formatAgo(agoMs: number): string {
  if (agoMs < 1_000) return "just now";
  return agoMs < 2 * DAY_MS
    ? `${formatDuration(agoMs)} ago`
    : `${Math.floor(agoMs / DAY_MS)} days ago`;
}

/** Durations as a person reads them in a message: `5 s`, `10 min`, `24 h`. */

const STEPS = [
  { unitMs: 3_600_000, unit: "h" },
  { unitMs: 60_000, unit: "min" },
  { unitMs: 1_000, unit: "s" },
] as const;

/** Shows a duration in the largest unit it has at least one of, rounded: `90 s` is `2 min`. */
export function formatDuration(durationMs: number): string {
  for (const { unitMs, unit } of STEPS) {
    if (durationMs >= unitMs) return `${Math.round(durationMs / unitMs)} ${unit}`;
  }
  return `${Math.max(0, Math.ceil(durationMs))} ms`;
}

/** Sizes as people write them: `2MiB`, `10GB`, `4096`. */
import { PsyncError } from "./errors.js";

const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 1024,
  m: 1e6,
  mb: 1e6,
  mib: 1024 ** 2,
  g: 1e9,
  gb: 1e9,
  gib: 1024 ** 3,
  t: 1e12,
  tb: 1e12,
  tib: 1024 ** 4,
};

/**
 * Reads a size: a number and, after it, B, kB, KiB, MB, MiB, GB, GiB, TB or TiB in any case.
 *
 * @returns integer bytes ≥ 0, at most 2^53 − 1
 * @throws ERR_PSYNC_USAGE it is not such a text, or not a whole number of bytes
 */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  const factor = UNIT_BYTES[match?.[2]?.toLowerCase() ?? "?"];
  const sizeBytes = factor === undefined ? Number.NaN : Number(match?.[1]) * factor;
  if (!Number.isSafeInteger(sizeBytes)) {
    throw new PsyncError("ERR_PSYNC_USAGE", `not a size: ${JSON.stringify(text)}`, {
      hint: "write a whole number of bytes, or a number and a unit: 4096, 2MiB, 10GB",
    });
  }
  return sizeBytes;
}

/**
 * Reads a rate: a size as `parseSize` reads it, with `/s` after it or without.
 *
 * @returns integer bytes per second ≥ 1
 * @throws ERR_PSYNC_USAGE it is not such a text, or nothing at all
 */
export function parseRate(text: string): number {
  const sizeText = text.replace(/\s*\/\s*s(?:ec)?\s*$/i, "");
  let bytesPerSecond = 0;
  try {
    bytesPerSecond = parseSize(sizeText);
  } catch {
    // Said below, of the whole text.
  }
  if (bytesPerSecond === 0) {
    throw new PsyncError("ERR_PSYNC_USAGE", `not a rate: ${JSON.stringify(text)}`, {
      hint: "write bytes per second, above 0: 10MB/s, 500kB/s, 1MiB/s, 250000",
    });
  }
  return bytesPerSecond;
}

/** A part of a disk: so many bytes, or a fraction of the whole, 0 to 1. */
export type FreeSpace = { readonly bytes: number } | { readonly fraction: number };

/**
 * Reads a part of a disk: a size as `parseSize` reads it, or a percentage of the whole: `5%`, `0.5 %`.
 *
 * @throws ERR_PSYNC_USAGE it is neither, or more than the whole
 */
export function parseFreeSpace(text: string): FreeSpace {
  const percent = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(text)?.[1];
  if (percent !== undefined && Number(percent) <= 100) return { fraction: Number(percent) / 100 };
  try {
    return { bytes: parseSize(text) };
  } catch {
    throw new PsyncError("ERR_PSYNC_USAGE", `not a part of a disk: ${JSON.stringify(text)}`, {
      hint: "write a size, or a percentage of the disk: 20GiB, 5%",
    });
  }
}

const SHOWN_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Shows bytes in binary units with at most one decimal: `2MiB`, `1.5GiB`, `17B`. */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < SHOWN_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const rounded = Math.round(value * 10) / 10;
  return `${rounded}${SHOWN_UNITS[unit] ?? ""}`;
}

/** Shows a count with its noun: `1 block`, `1,200 blocks`. */
export function formatCount(count: number, singular: string, plural = `${singular}s`): string {
  return `${count.toLocaleString("en-US")} ${count === 1 ? singular : plural}`;
}

/**
 * What a request's headers ask of a block: the whole, a part, or only whether it changed. Pure.
 * Source: RFC 9110, sections 13 (conditional requests) and 14 (ranges).
 */

export type ByteRange =
  | { readonly type: "whole" }
  /** `end` is exclusive; start < end ≤ the block's size. */
  | { readonly type: "part"; readonly start: number; readonly end: number }
  | { readonly type: "unsatisfiable" };

const WHOLE: ByteRange = { type: "whole" };
const UNSATISFIABLE: ByteRange = { type: "unsatisfiable" };

/**
 * Which bytes to send. What is not exactly one range of bytes is ignored, and so is a range whose
 * If-Range names something other than this block.
 */
export function chooseRange(
  headers: { readonly range: string | undefined; readonly ifRange: string | undefined },
  sizeBytes: number,
  etag: string,
): ByteRange {
  if (headers.range === undefined) return WHOLE;
  if (headers.ifRange !== undefined && headers.ifRange.trim() !== etag) return WHOLE;
  const match = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(headers.range);
  const [, firstText = "", lastText = ""] = match ?? [];
  if (firstText === "" && lastText === "") return WHOLE;
  if (firstText === "") {
    const start = Math.max(0, sizeBytes - Number(lastText));
    return start < sizeBytes ? { type: "part", start, end: sizeBytes } : UNSATISFIABLE;
  }
  const start = Number(firstText);
  const last = lastText === "" ? Number.POSITIVE_INFINITY : Number(lastText);
  if (last < start) return WHOLE;
  if (start >= sizeBytes) return UNSATISFIABLE;
  return { type: "part", start, end: Math.min(last + 1, sizeBytes) };
}

/** Whether If-None-Match names this block, so that 304 is the answer. Compared weakly, as the RFC says. */
export function isNotModified(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === "*") return true;
  return ifNoneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag);
}

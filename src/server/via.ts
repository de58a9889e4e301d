/**
 * The `via` header of requests: which psyncs one came through, so that servers that ask each other notice it. Pure.
 * Source: RFC 9110, section 7.6.3.
 */

/** Protocol, then the name that a psync gave itself, as `createPseudonym` makes it. */
const ENTRY = /^(?:[^\s/]+\/)?[^\s/]+\s+(psync-[0-9a-f]{16})$/;

/** The psyncs that a request came through, the first one first; other proxies are passed over. */
export function psyncHops(via: string | undefined): string[] {
  // A comment may hold anything, also what looks like an entry.
  const entries = (via ?? "").replace(/\([^()]*\)/g, "").split(",");
  return entries.flatMap((entry) => ENTRY.exec(entry.trim())?.slice(1) ?? []);
}

/** What a server calls itself for as long as its process lives; no two are the same. */
export function createPseudonym(randomBytes: (sizeBytes: number) => Buffer): string {
  return `psync-${randomBytes(8).toString("hex")}`;
}

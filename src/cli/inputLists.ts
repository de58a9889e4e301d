/** The hashlists a command works on: files, or stdin. */
import { abortable, orAbort } from "../core/abort.js";
import { parseHashlist } from "../hashlist/parse.js";
import { readHashlist } from "../hashlist/readHashlist.js";
import type { CommandContext } from "./run.js";
import type { NamedList } from "../transfer/getBlocks.js";

/**
 * Reads the lists at the paths; `-`, or no path at all, is stdin.
 *
 * @throws ERR_PSYNC_BAD_HASHLIST and as `readHashlist`; the signal's reason
 */
export async function readInputLists(
  paths: readonly string[],
  { log, signal }: Pick<CommandContext, "log" | "signal">,
): Promise<NamedList[]> {
  const lists: NamedList[] = [];
  for (const path of paths.length > 0 ? paths : ["-"]) {
    if (path === "-") {
      const chunks = stdinChunks({ log, signal });
      const list = await parseHashlist(chunks, { name: "stdin" });
      if (list.blockCount === 0) log.warn("the list on stdin is empty: it names no block");
      lists.push({ name: "stdin", list });
    } else {
      lists.push({ name: path, list: (await orAbort(readHashlist(path), signal)).list });
    }
  }
  return lists;
}

/** What comes on stdin, until the signal is aborted. Somebody who sits before a terminal is told what is waited for. */
export function stdinChunks({
  log,
  signal,
}: Pick<CommandContext, "log" | "signal">): AsyncIterable<Uint8Array> {
  if (process.stdin.isTTY) log.info("reading from the terminal; Ctrl-D ends it");
  else log.debug("reading from stdin");
  return abortable(process.stdin as AsyncIterable<Uint8Array>, signal);
}

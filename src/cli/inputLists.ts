/** The hashlists a command works on: files, or stdin. */
import { parseHashlist } from "../hashlist/parse.js";
import { readHashlist } from "../hashlist/readHashlist.js";
import type { NamedList } from "../transfer/getBlocks.js";

/** Reads the lists at the paths; `-`, or no path at all, is stdin. @throws ERR_PSYNC_BAD_HASHLIST and as `readHashlist` */
export async function readInputLists(paths: readonly string[]): Promise<NamedList[]> {
  const lists: NamedList[] = [];
  for (const path of paths.length > 0 ? paths : ["-"]) {
    if (path === "-") {
      const list = await parseHashlist(process.stdin as AsyncIterable<Uint8Array>, {
        name: "stdin",
      });
      lists.push({ name: "stdin", list });
    } else {
      lists.push({ name: path, list: (await readHashlist(path)).list });
    }
  }
  return lists;
}

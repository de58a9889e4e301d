/** Lists that are cut to nothing, as a full disk or a crash leaves them, among those whose blocks are to stay. */
import type { Logger } from "../core/log.js";
import type { FoundList } from "../hashlist/findLists.js";

/** The lists as they come. One whose file is empty is a list, and is warned of: it names nothing any more. */
export async function* warningOfEmpty(
  lists: AsyncIterable<FoundList>,
  log: Logger,
): AsyncGenerator<FoundList> {
  for await (const found of lists) {
    const { path, list, listFileBytes } = found;
    // A pipe has no length, whatever came out of it.
    if (listFileBytes === 0 && list.blockCount === 0) {
      log.warn(`${path} is empty: it keeps nothing`);
    }
    yield found;
  }
}

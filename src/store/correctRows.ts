/** The rows of cached blocks made right by what lies in cache/. Blocks without a row are for scanCache.ts. */
import { LIMITS } from "../core/limits.js";
import { cachedBytes } from "./cachedFile.js";
import type { CachedBlock } from "./evictionPolicy.js";
import type { IndexConnection } from "./indexConnection.js";
import type { StoreLayout } from "./layout.js";

/** What was wrong in the rows of cached blocks. */
export interface CorrectedRows {
  /** Rows without a file. */
  readonly removedCount: number;
  /** Rows with another size than their file. */
  readonly resizedCount: number;
  readonly sumWasWrong: boolean;
}

/**
 * Makes rows of cached blocks what the files are: those without a file go, unless they were used meanwhile; sizes
 * and their sum are set right.
 *
 * @returns undefined: the index does not answer, and the log says why
 * Cost: a stat a row; short transactions.
 */
export async function correctRows(
  connection: IndexConnection,
  { layout, signal }: { readonly layout: StoreLayout; readonly signal: AbortSignal },
): Promise<CorrectedRows | undefined> {
  let removedCount = 0;
  let resizedCount = 0;
  for (let after = ""; ;) {
    const rows = await connection.run("read", (file) =>
      file.cachedAfter(after, LIMITS.store.scanBatchCount),
    );
    if (rows === undefined) return undefined;
    if (rows.length === 0) break;
    const wrong: { readonly row: CachedBlock; readonly sizeBytes: number | undefined }[] = [];
    for (const row of rows) {
      signal.throwIfAborted();
      after = row.hash;
      const sizeBytes = await cachedBytes(layout, row.hash);
      if (sizeBytes !== row.sizeBytes) wrong.push({ row, sizeBytes });
      if (sizeBytes === undefined) removedCount += 1;
      else if (sizeBytes !== row.sizeBytes) resizedCount += 1;
    }
    await connection.run("correct", (file) => {
      file.exclusively(() => {
        for (const { row, sizeBytes } of wrong) {
          if (sizeBytes === undefined) file.removeUnused(row);
          else file.resizeUnused(row, sizeBytes);
        }
      });
    });
  }
  const sumWasWrong = await connection.run("add up", (file) =>
    file.exclusively(() => file.recount()),
  );
  return sumWasWrong === undefined ? undefined : { removedCount, resizedCount, sumWasWrong };
}

/** A progress bar on stderr, where that is a terminal; elsewhere nothing. */
import { formatSize } from "../core/bytes.js";

export interface Progress {
  /** @param done 0..total; @param movedBytes bytes moved so far, for the rate */
  update(done: number, movedBytes: number): void;
  /** Takes the bar off the screen. */
  end(): void;
}

const BAR_COLUMNS = 24;
const REDRAW_MS = 100;

export function createProgress(options: {
  readonly label: string;
  /** What `done` counts up to; 0 where it is not known. */
  readonly total: number;
  readonly quiet: boolean;
  readonly stream?: NodeJS.WriteStream;
}): Progress {
  const { label, total, quiet, stream = process.stderr } = options;
  if (!stream.isTTY || quiet) return { update: () => undefined, end: () => undefined };
  const startMs = performance.now();
  let drawnMs = Number.NEGATIVE_INFINITY;
  return {
    update(done, movedBytes) {
      const nowMs = performance.now();
      if (nowMs - drawnMs < REDRAW_MS && done !== total) return;
      drawnMs = nowMs;
      const seconds = Math.max((nowMs - startMs) / 1000, 0.001);
      const rate = `${formatSize(movedBytes)}, ${formatSize(Math.round(movedBytes / seconds))}/s`;
      const bar = total > 0 ? `${drawBar(done / total)} ${done}/${total} ` : "";
      stream.write(`\r\x1b[K${label} ${bar}${rate}`);
    },
    end() {
      stream.write("\r\x1b[K");
    },
  };
}

function drawBar(fraction: number): string {
  const filled = Math.round(Math.min(1, fraction) * BAR_COLUMNS);
  return `[${"=".repeat(filled)}${" ".repeat(BAR_COLUMNS - filled)}]`;
}

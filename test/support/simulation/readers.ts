/** Readers that follow their plans, through the real view, and write down what each read came to. */
import { setMaxListeners } from "node:events";
import type { BlockSource } from "../../../src/block/ports.js";
import { pause, withDeadline } from "../../../src/core/abort.js";
import { errorMessage, isPsyncError, PsyncError } from "../../../src/core/errors.js";
import { LIMITS } from "../../../src/core/limits.js";
import { createAhead, type PromotableUrgency } from "../../../src/core/urgency.js";
import { createView, type View } from "../../../src/view/view.js";
import { BLOCK_BYTES, type Library } from "./library.js";
import type { PlannedRead, ReaderPlan } from "./readerPlan.js";
import type { ReadRecord } from "./record.js";
import type { World } from "./world.js";

export interface ReaderParts {
  readonly world: World;
  readonly library: Library;
  readonly source: BlockSource;
  readonly reads: ReadRecord[];
}

const NEVER = new AbortController().signal;
// All readers listen to it at once, and each stops when it has waited.
setMaxListeners(0, NEVER);

/** Does all reads of a plan. What was asked for ahead and never read is given up at the end. */
export async function runReader(
  parts: ReaderParts,
  reader: number,
  plan: ReaderPlan,
): Promise<void> {
  const { world, library, source } = parts;
  const views = library.files.map(({ list, bytes }) =>
    createView({ list, sizeBytes: bytes.length, source }),
  );
  const ahead = createReadAhead(parts, plan);
  await pause(world.clock, plan.startMs, NEVER);
  const queue = plan.reads.values();
  const work = async (): Promise<void> => {
    for (const read of queue) {
      if (read.thinkMs > 0) await pause(world.clock, read.thinkMs, NEVER);
      ahead.comeTo(read);
      await doRead(parts, reader, read, views[read.file]);
    }
  };
  await Promise.all(Array.from({ length: plan.parallel }, work));
  ahead.close();
}

async function doRead(
  { world, library, reads }: ReaderParts,
  reader: number,
  read: PlannedRead,
  view: View | undefined,
): Promise<void> {
  const { clock } = world;
  const { offset, length, giveUpAfterMs } = read;
  const bytes = library.files[read.file]?.bytes;
  if (!view || !bytes) throw new RangeError(`there is no file ${read.file}`);
  const record: ReadRecord = {
    reader,
    file: read.file,
    offset,
    length,
    beganMs: clock.nowMs(),
    endedMs: Infinity,
    end: "underWay",
    reason: "",
  };
  reads.push(record);
  const name = `reader ${reader}, ${length} bytes of file ${read.file} from ${offset}`;
  world.note(() => `${name}: begins`);
  const controller = new AbortController();
  const cancel =
    giveUpAfterMs === undefined
      ? undefined
      : clock.after(giveUpAfterMs, () => {
          controller.abort(new PsyncError("ERR_PSYNC_INTERRUPTED", "the reader gave up"));
        });
  try {
    const timeoutMs = LIMITS.read.deadlineMs;
    const onDeadline = (): PsyncError =>
      new PsyncError("ERR_PSYNC_DEADLINE", `no server had it within ${timeoutMs} ms`);
    const parts = await withDeadline(
      { clock, timeoutMs, signal: controller.signal, onDeadline },
      (signal) => view.read({ offset, length }, signal),
    );
    const isRight = Buffer.concat(parts).equals(bytes.subarray(offset, offset + length));
    record.end = isRight ? "right" : "wrong";
    if (!isRight) record.reason = "other bytes than the file has there";
  } catch (error) {
    record.end = controller.signal.aborted ? "gaveUp" : "failed";
    const details = isPsyncError(error) ? error.details : [];
    record.reason = [errorMessage(error), ...details].join("; ");
  } finally {
    cancel?.();
    record.endedMs = clock.nowMs();
    world.note(() => `${name}: ${record.end} ${record.reason}`);
  }
}

interface ReadAhead {
  /** Asks for what follows the read, and makes urgent what it needs now, where the plan says so. */
  comeTo(read: PlannedRead): void;
  close(): void;
}

function createReadAhead({ world, library, source }: ReaderParts, plan: ReaderPlan): ReadAhead {
  const asked = new Map<number, PromotableUrgency>();
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);

  const askFor = (file: number, blockIndex: number): void => {
    const list = library.files[file]?.list;
    if (!list || blockIndex >= list.blockCount || asked.has(blockIndex)) return;
    const urgency = createAhead();
    asked.set(blockIndex, urgency);
    const request = {
      hash: list.hashAt(blockIndex),
      maxBytes: list.blockSizeBytes,
      signal: controller.signal,
      urgency,
    };
    world.note(() => `ahead: block ${blockIndex} of file ${file}`);
    // Whoever needs it will see that it is not there.
    source.fetch(request).catch(() => undefined);
  };

  return {
    comeTo({ file, offset, length }) {
      if (plan.aheadBlocks === 0) return;
      const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
      if (plan.isPromoting) {
        const first = Math.floor(offset / BLOCK_BYTES);
        for (let index = first; index <= last; index += 1) asked.get(index)?.promote();
      }
      for (let index = last + 1; index <= last + plan.aheadBlocks; index += 1) askFor(file, index);
    },
    close() {
      controller.abort(new PsyncError("ERR_PSYNC_INTERRUPTED", "nothing more is read"));
    },
  };
}

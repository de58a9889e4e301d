/**
 * Bytes on their way: flows that share what each server can send and what the client's line can take.
 * Each gets as much as any other that is held up at the same place (max-min fair), and never more than its own limit.
 */
import type { Clock } from "../../../src/core/clock.js";

export interface FlowOptions {
  readonly server: string;
  readonly serverBytesPerSecond: number;
  /** What one connection can have at most. */
  readonly limitBytesPerSecond: number;
  readonly totalBytes: number;
  /** Now and then while bytes come, and once when all came. */
  readonly onProgress: (receivedBytes: number) => void;
}

export interface Flow {
  receivedBytes(): number;
  /** Ends it early; after its end this does nothing. */
  stop(): void;
}

export interface Network {
  start(options: FlowOptions): Flow;
}

interface MovingFlow extends FlowOptions {
  receivedBytes: number;
  bytesPerSecond: number;
  /** Where `onProgress` is called next. */
  markBytes: number;
}

/** Progress is told after this part of a flow, and not more often than the pause: as chunks of a socket come. */
const PROGRESS_PART = 1 / 32;
const PROGRESS_PAUSE_SECONDS = 0.05;
/** Below what any flow moves in the shortest time that a number can tell. */
const ROUNDING_BYTES = 1e-6;

export function createNetwork(options: {
  readonly clock: Clock;
  /** What all flows together can have; Infinity: no bound. */
  readonly lineBytesPerSecond: number;
}): Network {
  const { clock, lineBytesPerSecond } = options;
  const flows = new Set<MovingFlow>();
  let movedAtMs = 0;
  let cancelTimer: () => void = () => undefined;

  const move = (): void => {
    const seconds = (clock.nowMs() - movedAtMs) / 1000;
    movedAtMs = clock.nowMs();
    for (const flow of flows) {
      const receivedBytes = flow.receivedBytes + flow.bytesPerSecond * seconds;
      flow.receivedBytes = Math.min(flow.totalBytes, receivedBytes);
    }
  };

  const setMark = (flow: MovingFlow): void => {
    const pieceBytes = Math.max(
      flow.totalBytes * PROGRESS_PART,
      flow.bytesPerSecond * PROGRESS_PAUSE_SECONDS,
    );
    flow.markBytes = Math.min(flow.totalBytes, flow.receivedBytes + pieceBytes);
  };

  const waitForNextMark = (): void => {
    cancelTimer();
    if (flows.size === 0) return;
    let seconds = Infinity;
    for (const flow of flows) {
      seconds = Math.min(seconds, (flow.markBytes - flow.receivedBytes) / flow.bytesPerSecond);
    }
    cancelTimer = clock.after(seconds * 1000, onMark);
  };

  const onFlowsChanged = (): void => {
    setRates([...flows], lineBytesPerSecond);
    waitForNextMark();
  };

  const onMark = (): void => {
    move();
    const reached = [...flows].filter(
      ({ receivedBytes, markBytes }) => receivedBytes >= markBytes - ROUNDING_BYTES,
    );
    let hasEnded = false;
    for (const flow of reached) {
      if (flow.markBytes >= flow.totalBytes) {
        flow.receivedBytes = flow.totalBytes;
        flows.delete(flow);
        hasEnded = true;
      } else {
        setMark(flow);
      }
    }
    if (hasEnded) onFlowsChanged();
    else waitForNextMark();
    for (const flow of reached) flow.onProgress(Math.floor(flow.receivedBytes + ROUNDING_BYTES));
  };

  return {
    start(flowOptions) {
      move();
      const flow: MovingFlow = {
        ...flowOptions,
        receivedBytes: 0,
        bytesPerSecond: 0,
        markBytes: flowOptions.totalBytes * PROGRESS_PART,
      };
      flows.add(flow);
      onFlowsChanged();
      return {
        receivedBytes() {
          move();
          return Math.floor(flow.receivedBytes + ROUNDING_BYTES);
        },
        stop() {
          move();
          if (flows.delete(flow)) onFlowsChanged();
        },
      };
    },
  };
}

/** Raises all rates together; whoever reaches a bound stays where it is. */
function setRates(flows: readonly MovingFlow[], lineBytesPerSecond: number): void {
  const serverFree = new Map<string, number>();
  for (const flow of flows) {
    serverFree.set(flow.server, flow.serverBytesPerSecond);
    flow.bytesPerSecond = 0;
  }
  let lineFree = lineBytesPerSecond;
  let rising = flows;
  while (rising.length > 0) {
    const risingOf = new Map<string, number>();
    for (const { server } of rising) risingOf.set(server, (risingOf.get(server) ?? 0) + 1);
    let step = lineFree / rising.length;
    for (const flow of rising) {
      const share = (serverFree.get(flow.server) ?? 0) / (risingOf.get(flow.server) ?? 1);
      step = Math.min(step, share, flow.limitBytesPerSecond - flow.bytesPerSecond);
    }
    for (const flow of rising) flow.bytesPerSecond += step;
    for (const [server, count] of risingOf) {
      serverFree.set(server, (serverFree.get(server) ?? 0) - step * count);
    }
    lineFree -= step * rising.length;
    if (isUsedUp(lineFree, lineBytesPerSecond)) return;
    rising = rising.filter(
      ({ server, serverBytesPerSecond, limitBytesPerSecond, bytesPerSecond }) =>
        !isUsedUp(limitBytesPerSecond - bytesPerSecond, limitBytesPerSecond) &&
        !isUsedUp(serverFree.get(server) ?? 0, serverBytesPerSecond),
    );
  }
}

function isUsedUp(left: number, of: number): boolean {
  return of < Infinity && left <= of * 1e-9;
}

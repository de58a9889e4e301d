/**
 * Room for blocks under way: for each a place while it is fetched, and its bytes until they are written.
 * Both are taken together, so that whoever waits holds nothing that another one could use.
 */
import { createWaitQueue, type WaitOptions } from "../core/waitQueue.js";

export interface FlightRoomOptions {
  readonly places: number;
  readonly bytes: number;
  /** What work done ahead leaves free, less than there is. */
  readonly keptForWaiting: { readonly places: number; readonly bytes: number };
}

/** What one block has taken; each is given back once, further calls do nothing. */
export interface FlightSeat {
  readonly releasePlace: () => void;
  readonly releaseBytes: () => void;
}

export interface FlightRoom {
  /**
   * Waits for a place and for room for the bytes, and takes both. More bytes than there are, or than work done
   * ahead may have, count as all of them. Work ahead leaves room for one more of its size, where there is as much.
   *
   * @throws the signal's reason, when it is aborted while waiting
   */
  enter(sizeBytes: number, waiting: WaitOptions): Promise<FlightSeat>;
}

export function createFlightRoom(options: FlightRoomOptions): FlightRoom {
  const { keptForWaiting } = options;
  const queue = createWaitQueue();
  const free = { places: options.places, bytes: options.bytes };

  const takeOf = (kind: "places" | "bytes", count: number): (() => void) => {
    let taken = true;
    free[kind] -= count;
    return () => {
      if (!taken) return;
      taken = false;
      free[kind] += count;
      queue.wake();
    };
  };

  return {
    enter: (sizeBytes, waiting) =>
      queue.wait(() => {
        const isAhead = waiting.urgency?.isWaitedFor === false;
        const spared = isAhead ? keptForWaiting : { places: 0, bytes: 0 };
        const bytes = Math.min(sizeBytes, options.bytes - spared.bytes);
        // A reader's block is likely as long: room for one is left.
        const sparedBytes = isAhead
          ? Math.min(Math.max(spared.bytes, sizeBytes), options.bytes - bytes)
          : 0;
        // A heavy one would wait for ever if lighter ones could pass it.
        if (free.places - spared.places < 1 || free.bytes - sparedBytes < bytes) {
          return { type: "hold" };
        }
        const seat = { releasePlace: takeOf("places", 1), releaseBytes: takeOf("bytes", bytes) };
        return { type: "served", value: seat };
      }, waiting),
  };
}

import { strict as assert } from "node:assert";
import { describe, it } from "node:test";
import { createAhead } from "../../src/core/urgency.js";
import { createFlightRoom, type FlightSeat } from "../../src/source/flightRoom.js";

/** Seats in the order they were given. */
function roomOf(options: {
  places: number;
  bytes: number;
  kept?: { places: number; bytes: number };
}) {
  const { places, bytes, kept = { places: 0, bytes: 0 } } = options;
  const room = createFlightRoom({ places, bytes, keptForWaiting: kept });
  const seats = new Map<string, FlightSeat>();
  const enter = (name: string, sizeBytes: number, urgency?: ReturnType<typeof createAhead>) => {
    const { signal } = new AbortController();
    void room.enter(sizeBytes, { signal, urgency }).then((seat) => seats.set(name, seat));
  };
  const seated = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    return [...seats.keys()];
  };
  return { enter, seated, seats };
}

describe("room for blocks under way", () => {
  it("a block enters when there are a place and its bytes; each is given back by itself", async () => {
    const { enter, seated, seats } = roomOf({ places: 1, bytes: 10 });
    enter("a", 8);
    enter("b", 8);
    assert.deepEqual(await seated(), ["a"]);
    seats.get("a")?.releasePlace();
    assert.deepEqual(await seated(), ["a"], "its bytes are not written yet");
    seats.get("a")?.releaseBytes();
    seats.get("a")?.releaseBytes();
    assert.deepEqual(await seated(), ["a", "b"]);
    enter("c", 8);
    seats.get("b")?.releasePlace();
    assert.deepEqual(await seated(), ["a", "b"], "what was given back twice counts once");
  });

  it("AHEAD-2: read-ahead that waits for bytes holds no place, and none that waits for a place holds bytes", async () => {
    const { enter, seated } = roomOf({ places: 3, bytes: 10, kept: { places: 1, bytes: 4 } });
    enter("ahead 1", 6, createAhead());
    enter("ahead 2", 6, createAhead());
    enter("ahead 3", 1, createAhead());
    enter("reader 1", 2);
    enter("reader 2", 2);
    assert.deepEqual(await seated(), ["ahead 1", "reader 1", "reader 2"]);
  });

  it("a block larger than all there is enters when nothing else is there", async () => {
    const { enter, seated, seats } = roomOf({
      places: 2,
      bytes: 10,
      kept: { places: 1, bytes: 4 },
    });
    enter("a", 1);
    enter("large", 100);
    assert.deepEqual(await seated(), ["a"]);
    seats.get("a")?.releasePlace();
    seats.get("a")?.releaseBytes();
    assert.deepEqual(await seated(), ["a", "large"]);
    seats.get("large")?.releasePlace();
    seats.get("large")?.releaseBytes();
    enter("large ahead", 100, createAhead());
    enter("b", 4);
    assert.deepEqual(await seated(), ["a", "large", "large ahead", "b"]);
  });

  const leave = (seat: FlightSeat | undefined): void => {
    seat?.releasePlace();
    seat?.releaseBytes();
  };

  for (const size of [1, 8, 16, 17, 24, 31, 32]) {
    it(`AHEAD-2: read-ahead of ${size}/64 of all bytes leaves room for a reader's block as long`, async () => {
      const { enter, seated } = roomOf({ places: 99, bytes: 64, kept: { places: 4, bytes: 16 } });
      for (let nth = 0; nth < 70; nth += 1) enter(`ahead ${nth}`, size, createAhead());
      assert.ok((await seated()).includes("ahead 0"));
      enter("reader", size);
      assert.ok((await seated()).includes("reader"));
    });
  }

  for (const size of [33, 48, 64, 100]) {
    it(`AHEAD-2: of blocks of ${size}/64 of all bytes, a reader's is the next, and read-ahead is not forgotten`, async () => {
      const { enter, seated, seats } = roomOf({
        places: 9,
        bytes: 64,
        kept: { places: 4, bytes: 16 },
      });
      enter("ahead 1", size, createAhead());
      enter("ahead 2", size, createAhead());
      enter("reader", size);
      assert.deepEqual(await seated(), ["ahead 1"]);
      leave(seats.get("ahead 1"));
      assert.deepEqual(await seated(), ["ahead 1", "reader"]);
      leave(seats.get("reader"));
      assert.deepEqual(await seated(), ["ahead 1", "reader", "ahead 2"]);
    });
  }

  it("AHEAD-2: a reader's block that fills all is not passed by small ones asked for ahead", async () => {
    const { enter, seated, seats } = roomOf({
      places: 9,
      bytes: 64,
      kept: { places: 4, bytes: 16 },
    });
    enter("ahead 1", 2, createAhead());
    enter("ahead 2", 2, createAhead());
    enter("reader", 64);
    enter("ahead 3", 2, createAhead());
    leave(seats.get("ahead 1"));
    assert.deepEqual(await seated(), ["ahead 1", "ahead 2"]);
    for (const name of ["ahead 1", "ahead 2"]) leave(seats.get(name));
    assert.deepEqual(await seated(), ["ahead 1", "ahead 2", "reader"]);
  });
});

/**
 * Places that belong to a flight rather than to one holder: given back when all who shared it have what they came for.
 */

/** The users of one flight, and what gives its place back when the last of them has gone. */
export interface Hold {
  use<T>(work: () => Promise<T>): Promise<T>;
  /** Called in a use: what gives a place back once there is none. */
  add(release: () => void): void;
  /** The flight has landed: whoever uses its key from now on has another one. */
  seal(): void;
}

export interface HeldPlaces<Key> {
  /** The hold of the flight of a key, or of the next one, to be used in the same turn. */
  of(key: Key): Hold;
}

export function createHeldPlaces<Key>(): HeldPlaces<Key> {
  const current = new Map<Key, Hold>();

  const create = (key: Key): Hold => {
    const releases: (() => void)[] = [];
    let userCount = 0;
    const hold: Hold = {
      async use(work) {
        userCount += 1;
        try {
          return await work();
        } finally {
          userCount -= 1;
          if (userCount === 0) {
            hold.seal();
            for (const release of releases.splice(0)) release();
          }
        }
      },
      add: (release) => releases.push(release),
      seal() {
        if (current.get(key) === hold) current.delete(key);
      },
    };
    current.set(key, hold);
    return hold;
  };

  return { of: (key) => current.get(key) ?? create(key) };
}

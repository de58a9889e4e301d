/** Places that belong to keys rather than to one holder: given back when nobody uses the key any more. */

export interface HeldPlaces<Key> {
  /**
   * Uses a key while the work runs.
   *
   * @param work may add what gives a place back; it is called when the last use of the key ends
   */
  use<T>(key: Key, work: (releases: (() => void)[]) => Promise<T>): Promise<T>;
}

export function createHeldPlaces<Key>(): HeldPlaces<Key> {
  const held = new Map<Key, { userCount: number; readonly releases: (() => void)[] }>();
  return {
    async use(key, work) {
      const place = held.get(key) ?? { userCount: 0, releases: [] };
      held.set(key, place);
      place.userCount += 1;
      try {
        return await work(place.releases);
      } finally {
        place.userCount -= 1;
        if (place.userCount === 0) {
          held.delete(key);
          for (const release of place.releases) release();
        }
      }
    },
  };
}

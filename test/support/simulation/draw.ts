/** Ways to draw from dice: choices, chances, and numbers of any magnitude. */
import type { Dice } from "../blocks.js";

/** True in so many of a hundred. */
export function isDrawn(dice: Dice, percent: number): boolean {
  return dice.roll(10_000) < percent * 100;
}

export function oneOf<T>(dice: Dice, items: readonly T[]): T {
  const item = items[dice.roll(items.length)];
  if (item === undefined) throw new RangeError("there is nothing to choose from");
  return item;
}

/** An integer in low..high. */
export function integerIn(dice: Dice, low: number, high: number): number {
  return low + dice.roll(high - low + 1);
}

/** A number in low..high, as likely to be in 1..10 as in 10..100. */
export function magnitudeIn(dice: Dice, low: number, high: number): number {
  return low * (high / low) ** (dice.roll(10_000) / 9_999);
}

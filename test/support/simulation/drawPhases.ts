/** How a server that is not honest behaves over time: broken for ever, from some time on, until then, now and then. */
import type { Dice } from "../blocks.js";
import { honestFrom, type Behaviour, type Phase } from "./behaviour.js";
import { integerIn, isDrawn, magnitudeIn, oneOf } from "./draw.js";
import { SCALE } from "./library.js";

/** Runs end before; a server that comes and goes does so until then. */
const LAST_CHANGE_MS = 120_000;

export function drawPhases(dice: Dice): Phase[] {
  const behaviour = drawBehaviour(dice);
  const turnMs = Math.floor(magnitudeIn(dice, 50, 40_000));
  const lot = dice.roll(100);
  if (lot < 35) return [{ fromMs: 0, behaviour, chance: 1 }];
  if (lot < 60) return [honestFrom(0), { fromMs: turnMs, behaviour, chance: 1 }];
  if (lot < 70) return [{ fromMs: 0, behaviour, chance: 1 }, honestFrom(turnMs)];
  if (lot < 85) return comingAndGoing(dice, behaviour);
  return [{ fromMs: 0, behaviour, chance: integerIn(dice, 5, 70) / 100 }];
}

function comingAndGoing(dice: Dice, behaviour: Behaviour): Phase[] {
  const upMs = Math.floor(magnitudeIn(dice, 500, 30_000));
  const downMs = Math.floor(magnitudeIn(dice, 500, 30_000));
  const phases: Phase[] = [];
  for (let atMs = 0; atMs < LAST_CHANGE_MS; atMs += upMs + downMs) {
    phases.push(honestFrom(atMs), { fromMs: atMs + upMs, behaviour, chance: 1 });
  }
  return phases;
}

function drawBehaviour(dice: Dice): Behaviour {
  const part = dice.roll(100) / 100;
  if (isDrawn(dice, 15)) {
    // Above what the client bears, and of no use all the same.
    return { type: "serve", speed: 1 / magnitudeIn(dice, 5, 200) };
  }
  return oneOf<Behaviour>(dice, [
    { type: "refuse" },
    { type: "unreachable" },
    { type: "silent" },
    { type: "silent" },
    { type: "resetBeforeHead" },
    { type: "status500" },
    { type: "redirect" },
    { type: "tooLong" },
    { type: "stallInBody", part },
    { type: "stallInBody", part },
    { type: "resetInBody", part },
    { type: "truncate", part },
    { type: "endUnmarked", part },
    // From far below 16 KiB/s to just below it.
    { type: "drip", bytesPerSecond: (magnitudeIn(dice, 0.05, 0.9) * 16 * 1024) / SCALE },
    { type: "lie" },
    { type: "lie" },
    { type: "lackAll" },
  ]);
}

/** What a seed stands for: servers with their changes of mind, a line, and readers. Plain data; nothing is run here. */
import { LIMITS } from "../../../src/core/limits.js";
import { createDice, type Dice } from "../blocks.js";
import { HONEST, honestFrom, type Phase, type ServerPlan } from "./behaviour.js";
import { integerIn, isDrawn, magnitudeIn, oneOf } from "./draw.js";
import { drawPhases } from "./drawPhases.js";
import { BLOCK_BYTES, BLOCKS_PER_FILE, FILE_COUNT } from "./library.js";
import { drawReader, wantedAtOnce, wholeFiles, type ReaderPlan } from "./readerPlan.js";

export interface Scenario {
  readonly seed: number;
  /** What is claimed beyond the rest: `equal` servers share the work, a `faster` first one of them does most of it. */
  readonly kind: "mixed" | "equal" | "faster";
  /** What the client's line can take; Infinity: no bound. */
  readonly lineBytesPerSecond: number;
  /** Blocks that are fetched at once, over all servers. */
  readonly blocksInFlight: number;
  readonly servers: readonly ServerPlan[];
  readonly readers: readonly ReaderPlan[];
}

const MAX_SERVERS = 8;
/** Speeds are blocks of 2 MiB a second, so that they read like those outside. */
const SLOWEST_HONEST = 1;
const FASTEST = 40;
/** What honest servers can send all that is wanted at once in, if need be each of them alone. */
const CATCH_UP_SECONDS = 5;

/** The scenario of a seed: always the same. */
export function drawScenario(seed: number): Scenario {
  const dice = createDice(`scenario ${seed}`);
  const lot = dice.roll(100);
  if (lot < 5) return drawEqual(seed, dice);
  if (lot < 8) return drawFaster(seed, dice);
  return drawMixed(seed, dice);
}

function drawMixed(seed: number, dice: Dice): Scenario {
  const readers = Array.from({ length: integerIn(dice, 1, 4) }, () => drawReader(dice));
  // Over a long time a server that is dead must not be asked for every block.
  if (isDrawn(dice, 5)) {
    readers.push(wholeFiles({ parallel: 1, thinkMs: dice.roll(200) }));
  }
  const needed = Math.max(2, wantedAtOnce(readers) / CATCH_UP_SECONDS);
  const serverCount = integerIn(dice, 1, MAX_SERVERS);
  const honestCount = integerIn(dice, 1, Math.min(3, serverCount));
  const honest = new Set<number>();
  while (honest.size < honestCount) honest.add(dice.roll(serverCount));
  const isFlapping = isDrawn(dice, 10);
  const holders = drawHolders(dice, [...honest]);
  const servers = Array.from({ length: serverCount }, (_, index): ServerPlan => {
    const isHonest = honest.has(index);
    const heldPercent = oneOf(dice, [0, 30, 70, 100]);
    const salt = dice.roll(1000);
    return {
      ...drawLine(dice, isHonest ? needed : 0),
      name: `${isHonest ? "honest" : "other"}${index}`,
      holds: (blockIndex) =>
        (isHonest && holders[blockIndex] === index) ||
        (blockIndex * 7919 + salt * 104_729) % 100 < heldPercent,
      phases: isHonest ? honestPhases(dice, isFlapping) : drawPhases(dice),
    };
  });
  const lineBytesPerSecond = isDrawn(dice, 40)
    ? Math.max(needed * 2, magnitudeIn(dice, 8, 80)) * BLOCK_BYTES
    : Infinity;
  const { blocksInFlight } = LIMITS.read;
  return { seed, kind: "mixed", lineBytesPerSecond, blocksInFlight, servers, readers };
}

/** For each block one of the honest servers. */
function drawHolders(dice: Dice, honest: readonly number[]): number[] {
  return Array.from({ length: BLOCKS_PER_FILE * FILE_COUNT }, () => oneOf(dice, honest));
}

/** Up all the time; or, for a while, down for less than a fetch is patient. */
function honestPhases(dice: Dice, isFlapping: boolean): Phase[] {
  if (!isFlapping) return [honestFrom(0)];
  const phases: Phase[] = [honestFrom(0)];
  let atMs = 0;
  while (atMs < 120_000) {
    atMs += integerIn(dice, 8_000, 20_000);
    phases.push({ fromMs: atMs, behaviour: { type: "refuse" }, chance: 1 });
    atMs += integerIn(dice, 300, 4_000);
    phases.push(honestFrom(atMs));
  }
  return phases;
}

type Line = Pick<
  ServerPlan,
  "latencyMs" | "jitter" | "connectionBytesPerSecond" | "capacityBytesPerSecond"
>;

/** @param needed blocks a second that it must be able to send over a few connections */
function drawLine(dice: Dice, needed: number): Line {
  const lowest = needed > 0 ? Math.max(SLOWEST_HONEST, needed / 4) : SLOWEST_HONEST / 4;
  const connection = magnitudeIn(dice, lowest, FASTEST);
  const capacity = Math.max(needed, connection * magnitudeIn(dice, 1, 8));
  return {
    latencyMs: magnitudeIn(dice, 2, 300),
    jitter: oneOf(dice, [0.02, 0.1, 0.5]),
    connectionBytesPerSecond: connection * BLOCK_BYTES,
    capacityBytesPerSecond: capacity * BLOCK_BYTES,
  };
}

/** Some servers that are the same, and more work than any of them can do at once. */
function drawEqual(seed: number, dice: Dice): Scenario {
  const connection = magnitudeIn(dice, 2, 10);
  const line: Line = {
    latencyMs: integerIn(dice, 5, 60),
    jitter: oneOf(dice, [0.02, 0.1]),
    connectionBytesPerSecond: connection * BLOCK_BYTES,
    // So that all of a crowd are too many for one.
    capacityBytesPerSecond: connection * integerIn(dice, 2, 4) * BLOCK_BYTES,
  };
  const servers = Array.from({ length: integerIn(dice, 2, 4) }, (_, index) =>
    holdingAll(`equal${index}`, line),
  );
  return {
    seed,
    kind: "equal",
    lineBytesPerSecond: Infinity,
    servers,
    ...drawCrowd(dice),
  };
}

/** The first one is eight times as fast as the others; which place it has in the order differs. */
function drawFaster(seed: number, dice: Dice): Scenario {
  const connection = magnitudeIn(dice, 0.5, 2);
  const connections = integerIn(dice, 2, 4);
  const lineOf = (speed: number): Line => ({
    latencyMs: 20,
    jitter: 0.1,
    connectionBytesPerSecond: connection * speed * BLOCK_BYTES,
    capacityBytesPerSecond: connection * speed * connections * BLOCK_BYTES,
  });
  const slow = Array.from({ length: integerIn(dice, 1, 3) }, (_, index) =>
    holdingAll(`slow${index}`, lineOf(1)),
  );
  const at = dice.roll(slow.length + 1);
  return {
    seed,
    kind: "faster",
    lineBytesPerSecond: Infinity,
    servers: [...slow.slice(0, at), holdingAll("fast", lineOf(8)), ...slow.slice(at)],
    ...drawCrowd(dice),
  };
}

/** More reads at once than equal servers can do well, and sometimes more than one may have connections. */
function drawCrowd(dice: Dice): Pick<Scenario, "blocksInFlight" | "readers"> {
  const parallel = isDrawn(dice, 30) ? LIMITS.fetch.connectionsPerServer * 1.5 : 20;
  return {
    blocksInFlight: Math.max(parallel, LIMITS.read.blocksInFlight),
    readers: [wholeFiles({ parallel, thinkMs: 0 })],
  };
}

function holdingAll(name: string, line: Line): ServerPlan {
  const phases = [{ fromMs: 0, behaviour: HONEST, chance: 1 }];
  return { ...line, name, holds: () => true, phases };
}

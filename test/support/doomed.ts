/** Processes that are started to be killed, and what they had said until then. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Dice } from "./blocks.js";
import { PSYNC, psyncEnvironment } from "./cli.js";
import type { Load, LoadTask } from "./loadWorker.js";

const LOAD_WORKER = fileURLToPath(new URL("loadWorker.js", import.meta.url));

export interface Doomed {
  /** Whole lines of its stdout so far: half a line says nothing. */
  lines(): readonly string[];
  stderr(): string;
  hasEnded(): boolean;
  /** @returns the exit status; null where a signal ended it */
  readonly ended: Promise<number | null>;
  kill(): void;
}

/** Starts psync itself. */
export function startDoomedPsync(args: readonly string[], store: string): Doomed {
  return follow(spawn(process.execPath, [PSYNC, ...args], { env: psyncEnvironment({ store }) }));
}

/** Starts a process that does what psync does and nothing else: it is ready in a third of the time. */
export function startDoomedWorker(task: LoadTask, load: Load): Doomed {
  const args = [LOAD_WORKER, task, JSON.stringify(load)];
  return follow(spawn(process.execPath, args, { env: psyncEnvironment({ store: load.store }) }));
}

function follow(child: ChildProcess): Doomed {
  let said = "";
  let complained = "";
  child.stdin?.end();
  child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (complained += chunk.toString()));
  let isOver = false;
  // Not "exit": what it wrote before may still be in the pipe.
  const ended = once(child, "close").then(() => {
    isOver = true;
    return child.exitCode;
  });
  return {
    lines: () =>
      said
        .slice(0, said.lastIndexOf("\n") + 1)
        .split("\n")
        .slice(0, -1),
    stderr: () => complained,
    hasEnded: () => isOver,
    ended,
    kill: () => void child.kill("SIGKILL"),
  };
}

/**
 * Kills a process at a moment that the dice choose: after some of its work is done and a few milliseconds more, or
 * anywhere while it starts.
 *
 * @param progress how much it has done; killed after up to `most`
 * @returns whether it was killed, and had not ended before
 */
export async function killAtRandom(
  doomed: Doomed,
  dice: Dice,
  { progress, most }: { readonly progress: () => number; readonly most: number },
): Promise<boolean> {
  const isEarly = dice.roll(8) === 0;
  const enough = dice.roll(most);
  if (isEarly) await Promise.race([sleep(dice.roll(300)), doomed.ended]);
  else while (!doomed.hasEnded() && progress() < enough) await sleep(1);
  await Promise.race([sleep(dice.roll(12)), doomed.ended]);
  const isKilled = !doomed.hasEnded();
  doomed.kill();
  return (await doomed.ended) === null && isKilled;
}

/** Processes that have a path among their arguments: what a killed one has started and left. */
export function processesOf(path: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map((pid) => commandLine(pid))
    .filter((text) => text.includes(path));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(join("/proc", pid, "cmdline"), "utf8").replaceAll("\0", " ");
  } catch {
    // It has ended since.
    return "";
  }
}

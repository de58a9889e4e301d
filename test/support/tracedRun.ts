/** Runs a tracedWorker under strace, from the moment it is ready, with one fault put in the way of its calls. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { cleanUp, type CleanUpContext } from "./cleanUp.js";
import { psyncEnvironment } from "./cli.js";
import { hasStrace } from "./storeFixtures.js";
import { parseTrace, type SystemCall } from "./straced.js";

const WORKER = fileURLToPath(new URL("tracedWorker.js", import.meta.url));

/** Why no process can be traced once it runs, or false. */
export async function noTraceReason(): Promise<string | false> {
  if (!hasStrace) return "there is no strace";
  const child = spawn("sleep", ["60"]);
  const tracer = spawn("strace", ["-o", "/dev/null", "-p", String(child.pid)]);
  const ended = Promise.all([once(child, "close"), once(tracer, "close")]);
  const [line] = (await once(createInterface({ input: tracer.stderr }), "line")) as [string];
  child.kill("SIGKILL");
  await ended;
  return line.includes("attached") ? false : line;
}

/** A fault at the n-th call of a name, counted in each thread by itself, as strace does. */
export interface Fault {
  readonly name: string;
  readonly nth: number;
  /** An errno, or the signal that takes the place of the call's end. */
  readonly what: string;
}

export interface TracedRun {
  /** null where a signal ended it. */
  readonly status: number | null;
  /** Whole lines of stdout. */
  readonly lines: readonly string[];
  readonly stderr: string;
  readonly calls: readonly SystemCall[];
}

export async function runTraced(
  t: CleanUpContext,
  options: {
    /** For strace's output. */
    readonly folder: string;
    readonly args: readonly string[];
    readonly names: readonly string[];
    readonly fault?: Fault | undefined;
  },
): Promise<TracedRun> {
  const { folder, args, names, fault } = options;
  // One thread for files: their calls come in the same order each time.
  const env = { ...psyncEnvironment({ store: "" }), UV_THREADPOOL_SIZE: "1" };
  const child = spawn(process.execPath, [WORKER, ...args], { env });
  cleanUp(t, () => child.kill("SIGKILL"));
  const closed = once(child, "close");
  let said = "";
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const ready = once(child.stdout, "data");
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await ready;

  const output = join(folder, "strace.txt");
  const inject = fault
    ? ["-e", `inject=${fault.name}:${faultText(fault.what)}:when=${fault.nth}`]
    : [];
  const trace = ["-f", "-y", "-o", output, "-e", `trace=${names.join(",")}`, ...inject];
  const tracer = spawn("strace", [...trace, "-p", String(child.pid)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const tracerClosed = once(tracer, "close");
  const complaints: string[] = [];
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: tracer.stderr }).on("line", (line) => {
      complaints.push(line);
      if (line.includes("attached")) resolve();
    });
    void tracerClosed.then(() => {
      reject(new Error(`strace: ${complaints.join("; ")}`));
    });
  });
  child.stdin.on("error", () => undefined);
  child.stdin.end("go\n");
  await Promise.all([closed, tracerClosed]);
  return {
    status: child.exitCode,
    lines: said.split("\n").slice(1, -1),
    stderr,
    calls: parseTrace(await readFile(output, "utf8")),
  };
}

function faultText(what: string): string {
  return what.startsWith("SIG") ? `signal=${what}` : `error=${what}`;
}

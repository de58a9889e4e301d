/** The command line as a user has it: the real program, in a process of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const PSYNC = join(ROOT, "bin", "psync.js");

const PROXY_VARIABLES = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => [
  name,
  name.toUpperCase(),
]);

export interface CliResult {
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface CliOptions {
  readonly store: string;
  readonly input?: Uint8Array | string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Once this resolves, the program gets SIGINT. */
  readonly interruptWhen?: Promise<void>;
}

/** Runs psync to its end. */
export async function psync(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const child = spawnPsync(args, options);
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  void options.interruptWhen?.then(() => child.kill("SIGINT"));
  const [stdout, stderr] = await Promise.all([collect(child.stdout), collect(child.stderr)]);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  // Node's own warnings, of leaks or of what is deprecated, are nothing that a user should see.
  if (/^\(node:\d+\)/m.test(stderr.toString())) throw new Error(stderr.toString());
  return { status: child.exitCode, stdout, stderr: stderr.toString() };
}

/** Runs psync and expects status 0. @returns its stdout as text */
export async function psyncOk(args: readonly string[], options: CliOptions): Promise<string> {
  const { status, stdout, stderr } = await psync(args, options);
  if (status !== 0) throw new Error(`psync ${args.join(" ")}: status ${status}\n${stderr}`);
  return stdout.toString();
}

export interface RunningPsync {
  readonly pid: number;
  /** The first line of its stdout. */
  readonly firstLine: string;
  /** What it has said on stderr so far. */
  stderr(): string;
  /** Its exit status, once it has ended; null where a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Sends a signal and waits for the end. @returns the exit status */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts psync and waits for its first line on stdout, which is how `serve` and `mount` say they are ready. */
export async function startPsync(
  args: readonly string[],
  options: CliOptions,
): Promise<RunningPsync> {
  const child = spawnPsync(args, options);
  let said = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stdin?.end();
  const ended = once(child, "exit").then(() => child.exitCode);
  const firstLine = await new Promise<string>((resolve, reject) => {
    if (child.stdout) createInterface({ input: child.stdout }).once("line", resolve);
    void ended.then(() => {
      reject(new Error(`psync ${args.join(" ")} ended before it was ready\n${said}`));
    });
  });
  return {
    pid: child.pid ?? 0,
    firstLine,
    stderr: () => said,
    ended,
    stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return ended;
    },
  };
}

function spawnPsync(args: readonly string[], options: CliOptions): ChildProcess {
  return spawn(process.execPath, [PSYNC, ...args], {
    cwd: options.cwd,
    env: psyncEnvironment(options),
  });
}

/** What a psync of a test finds in its environment. */
export function psyncEnvironment(options: CliOptions): NodeJS.ProcessEnv {
  // What is undefined is not passed on: the tester's own servers and proxies must not be asked.
  return {
    ...process.env,
    ...Object.fromEntries(PROXY_VARIABLES.map((name) => [name, undefined])),
    PSYNC_SERVERS: undefined,
    PSYNC_STORE: options.store,
    ...options.env,
  };
}

async function collect(stream: Readable | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Runs a program under strace, and gives back its system calls in order with their beginnings and ends. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

export interface SystemCall {
  readonly thread: string;
  readonly name: string;
  /** As strace -y writes them: descriptors are followed by their paths in angle brackets. */
  readonly args: string;
  readonly result: string;
  /** Lines of the trace at which the call began and ended. */
  readonly begin: number;
  readonly end: number;
}

export interface Straced {
  readonly stdout: string;
  readonly calls: readonly SystemCall[];
}

const RESULT = /^(.*)\)\s+= (.*)$/;

/** @param options further arguments of strace, such as faults to inject */
export async function straced(
  folder: string,
  names: readonly string[],
  command: readonly string[],
  options: readonly string[] = [],
): Promise<Straced> {
  const output = join(folder, "strace.txt");
  const args = ["-f", "-y", "-o", output, "-e", `trace=${names.join(",")}`, ...options];
  const { stdout } = await promisify(execFile)("strace", [...args, ...command]);
  return { stdout, calls: parseTrace(await readFile(output, "utf8")) };
}

/** The calls of a trace that strace -f -y wrote. */
export function parseTrace(trace: string): readonly SystemCall[] {
  const calls: SystemCall[] = [];
  const unfinished = new Map<string, Omit<SystemCall, "result" | "end">>();
  trace.split("\n").forEach((line, i) => {
    const [, thread = "", rest = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const begun = /^(\w+)\((.*?)\s*<unfinished \.\.\.>$/.exec(rest);
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest);
    const whole = /^(\w+)\((.*)$/.exec(rest);
    if (begun) {
      unfinished.set(thread, { thread, name: begun[1] ?? "", args: begun[2] ?? "", begin: i });
    } else if (resumed) {
      const start = unfinished.get(thread);
      const [, more = "", result = ""] = RESULT.exec(resumed[2] ?? "") ?? [];
      if (start) calls.push({ ...start, args: start.args + more, result, end: i });
    } else if (whole) {
      const [, args = "", result = ""] = RESULT.exec(whole[2] ?? "") ?? [];
      calls.push({ thread, name: whole[1] ?? "", args, result, begin: i, end: i });
    }
  });
  return calls;
}

/** A question at the terminal, before something is done that cannot be undone. */
import { createInterface } from "node:readline/promises";

/** Whether there is somebody to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY && process.stderr.isTTY;
}

/**
 * Asks on stderr. Only a yes is one; the end of the input is none.
 *
 * @throws the signal's reason
 */
export async function confirm(question: string, signal: AbortSignal): Promise<boolean> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const ended = new Promise<string>((resolve) => {
      reader.once("close", () => {
        resolve("");
      });
    });
    // On a terminal Ctrl-C is a character, which the reader takes.
    reader.once("SIGINT", () => {
      process.kill(process.pid, "SIGINT");
    });
    const answer = await Promise.race([reader.question(`${question} [y/N] `, { signal }), ended]);
    return /^\s*y(es)?\s*$/i.test(answer);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    reader.close();
  }
}

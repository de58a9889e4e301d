/** A slow line in a process of its own, so that what is measured does not share its thread: options as JSON. */
import { startSlowLine, type LineOptions } from "./slowLine.js";

const options = JSON.parse(process.argv[2] ?? "{}") as LineOptions;
const line = await startSlowLine(options);
process.stdout.write(`${line.url}\n`);
// It lives as long as whoever started it.
process.stdin.resume();
process.stdin.once("end", () => {
  void line.close().then(() => process.exit(0));
});

/** psync's own block server over blocks in memory, on a loopback port. */
import type { VerifiedBlock } from "../../src/block/verify.js";
import { systemClock } from "../../src/core/clock.js";
import type { LimitsOf } from "../../src/core/limits.js";
import { silentLogger } from "../../src/core/log.js";
import { createBlockServer } from "../../src/server/blockServer.js";
import { createTinyStore, type TinyStore } from "./tinyStore.js";

export interface HonestServer {
  readonly url: string;
  readonly port: number;
  readonly store: TinyStore;
  close(): Promise<void>;
}

export async function startHonestServer(
  blocks: readonly VerifiedBlock[],
  options: { readonly port?: number; readonly limits?: Partial<LimitsOf<"server">> } = {},
): Promise<HonestServer> {
  const { port = 0, limits = {} } = options;
  const store = createTinyStore(blocks);
  const server = createBlockServer({ store, log: silentLogger, clock: systemClock, limits });
  const listening = await server.listen({ host: "127.0.0.1", port });
  return {
    url: `http://127.0.0.1:${listening.port}`,
    port: listening.port,
    store,
    close: () => server.close(),
  };
}

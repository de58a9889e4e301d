import { systemClock } from "../../src/core/clock.js";
import { silentLogger } from "../../src/core/log.js";
import { createServerSet } from "../../src/fetch/serverSet.js";
import { httpServers } from "../support/httpServers.js";
import { describeBlockSource } from "../contract/blockSource.js";
import { seededBlock } from "../support/blocks.js";
import { startFaultyServer } from "../support/faultyServer.js";

describeBlockSource({
  name: "the server set",
  canStall: true,
  async create({ blocks, stalled }) {
    const server = await startFaultyServer({
      blocks: [...blocks, seededBlock("stalled")],
      seed: 1,
      fault: (hash) => (stalled.some((other) => other === hash) ? "stalledBeforeHeaders" : "none"),
    });
    const source = createServerSet({
      servers: httpServers([server.url]),
      clock: systemClock,
      log: silentLogger,
    });
    return {
      source,
      async close() {
        await source.close();
        await server.close();
      },
    };
  },
});

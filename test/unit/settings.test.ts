import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { resolveSettings } from "../../src/cli/settings.js";
import { isPsyncError } from "../../src/core/errors.js";

describe("settings", () => {
  let store = "";
  before(async () => {
    store = await mkdtemp(join(tmpdir(), "psync-settings-"));
  });
  after(() => rm(store, { recursive: true, force: true }));

  const withConfig = async (text: string, environment: NodeJS.ProcessEnv = {}) => {
    await writeFile(join(store, "config.json"), text);
    return resolveSettings({ store }, environment);
  };

  it("come from the command line, then the environment, then config.json", async () => {
    const text = '{"servers":["http://config:1"]}';
    assert.deepEqual(await (await withConfig(text)).servers(), ["http://config:1"]);
    const environment = { PSYNC_SERVERS: "http://a:1, http://b:2", PSYNC_STORE: "/ignored" };
    assert.deepEqual(await (await withConfig(text, environment)).servers(), [
      "http://a:1",
      "http://b:2",
    ]);
    const args = { store, server: ["http://c:3"] };
    assert.deepEqual(await resolveSettings(args, environment).servers(), ["http://c:3"]);
  });

  it("say how large the cache may be: --cache-size, config.json", async () => {
    const text = '{"cacheSize":"2GiB","servers":["http://config:1"]}';
    const environment = { PSYNC_SERVERS: "http://a:1" };
    assert.equal(await (await withConfig(text, environment)).cacheQuotaBytes(), 2 * 1024 ** 3);
    const args = { store, server: ["http://c:3"] };
    assert.equal(await resolveSettings(args, environment).cacheQuotaBytes(), 2 * 1024 ** 3);
    const sized = resolveSettings({ ...args, cacheSize: "0" }, environment);
    assert.equal(await sized.cacheQuotaBytes(), 0);
    assert.equal(await (await withConfig("{}")).cacheQuotaBytes(), undefined);
    await assert.rejects(resolveSettings({ store, cacheSize: "much" }).cacheQuotaBytes(), (error) =>
      isPsyncError(error, "ERR_PSYNC_USAGE"),
    );
  });

  it("say where the store is: --store, PSYNC_STORE, ~/.psync", () => {
    assert.equal(resolveSettings({ store }, { PSYNC_STORE: "/x" }).storePath, store);
    assert.equal(resolveSettings({}, { PSYNC_STORE: "/x/y" }).storePath, "/x/y");
    const environment = { PSYNC_STORE: "", PSYNC_SERVERS: "http://a" };
    assert.equal(resolveSettings({}, environment).storePath, join(homedir(), ".psync"));
  });

  it("that mean nothing are refused with the file's name", async () => {
    for (const text of [
      "{",
      "[]",
      "7",
      '{"server":[]}',
      '{"servers":"http://a"}',
      '{"servers":[1]}',
      '{"cacheSize":"much"}',
      '{"cacheSize":7}',
      '{"cacheSize":null}',
    ]) {
      await assert.rejects((await withConfig(text)).servers(), (error) => {
        assert.ok(isPsyncError(error, "ERR_PSYNC_USAGE"), text);
        assert.ok(error.message.includes(join(store, "config.json")), error.message);
        return true;
      });
    }
  });
});

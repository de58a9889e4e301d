import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { after, before, describe, it } from "node:test";
import { resolveSettings } from "../../src/cli/settings.js";
import { isPsyncError, type PsyncError } from "../../src/core/errors.js";
import type { ServerSettings } from "../../src/fetch/serverSettings.js";

const namesOf = (servers: readonly ServerSettings[]): string[] =>
  servers.map(({ url }) => url.display);

async function usageErrorOf(asking: Promise<unknown>): Promise<PsyncError> {
  const error: unknown = await asking.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!isPsyncError(error, "ERR_PSYNC_USAGE")) assert.fail(`no usage error: ${String(error)}`);
  return error;
}

describe("settings", () => {
  let store = "";
  before(async () => {
    store = await mkdtemp(join(tmpdir(), "psync-settings-"));
    await writeFile(join(store, "nonsense.pem"), "nonsense");
    await writeFile(
      join(store, "half.pem"),
      "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n",
    );
  });
  after(() => rm(store, { recursive: true, force: true }));

  const withConfig = async (text: string, environment: NodeJS.ProcessEnv = {}) => {
    await writeFile(join(store, "config.json"), text);
    return resolveSettings({ store }, environment);
  };

  it("come from the command line, then the environment, then config.json", async () => {
    const text = '{"servers":["http://config:1"]}';
    assert.deepEqual(namesOf(await (await withConfig(text)).servers()), ["http://config:1"]);
    const environment = { PSYNC_SERVERS: "http://a:1, http://b:2", PSYNC_STORE: "/ignored" };
    assert.deepEqual(namesOf(await (await withConfig(text, environment)).servers()), [
      "http://a:1",
      "http://b:2",
    ]);
    const settings = resolveSettings({ store, server: ["http://c:3"] }, environment);
    assert.deepEqual(namesOf(await settings.servers()), ["http://c:3"]);
    assert.deepEqual(namesOf(await settings.servers(["http://d:4"])), ["http://d:4", "http://c:3"]);
  });

  it("say what the cache leaves free: --min-free, config.json, in bytes or of the whole disk", async () => {
    const configured = await withConfig('{"minFree":"10 %"}');
    assert.deepEqual(await configured.minFree(), { fraction: 0.1 });
    assert.deepEqual(await resolveSettings({ store, minFree: "20GiB" }).minFree(), {
      bytes: 20 * 1024 ** 3,
    });
    assert.equal(await (await withConfig("{}")).minFree(), undefined);
    for (const minFree of ["101%", "-1%", "much", "%", ""]) {
      const { message } = await usageErrorOf(resolveSettings({ store, minFree }).minFree());
      assert.match(message, /^--min-free: not a part of a disk: /);
    }
    const wrong = await usageErrorOf((await withConfig('{"minFree":5}')).minFree());
    assert.match(wrong.message, /config\.json: minFree: not a text in quotes$/);
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

  it("say how fast blocks may be fetched: --limit-rate, config.json", async () => {
    assert.equal(await (await withConfig("{}")).limitBytesPerSecond(), undefined);
    const config = await withConfig('{"limitRate":"500kB/s"}');
    assert.equal(await config.limitBytesPerSecond(), 500_000);
    for (const [text, bytesPerSecond] of [
      ["10MB/s", 10e6],
      ["10M", 10e6],
      ["1MiB/s", 1024 ** 2],
      ["50000", 50_000],
      [" 1.5 kB / s ", 1500],
    ] as const) {
      const settings = resolveSettings({ store, limitRate: text });
      assert.equal(await settings.limitBytesPerSecond(), bytesPerSecond, text);
    }
    for (const limitRate of ["fast", "0", "0MB/s", "-1", "", "1/s/s", "10MB/h"]) {
      const settings = resolveSettings({ store, limitRate });
      const { message } = await usageErrorOf(settings.limitBytesPerSecond());
      assert.match(message, /^--limit-rate: not a rate: "/, limitRate);
    }
  });

  it("say where the store is: --store, PSYNC_STORE, ~/.psync", () => {
    assert.equal(resolveSettings({ store }, { PSYNC_STORE: "/x" }).storePath, store);
    assert.equal(resolveSettings({}, { PSYNC_STORE: "/x/y" }).storePath, "/x/y");
    const environment = { PSYNC_STORE: "", PSYNC_SERVERS: "http://a" };
    assert.equal(resolveSettings({}, environment).storePath, join(homedir(), ".psync"));
  });

  it("of a server are those of config.json wherever its address is named", async () => {
    const config = await withConfig(
      JSON.stringify({
        servers: [
          { url: "https://a.example/x/", headers: { "X-Key": "k1", Authorization: "Bearer t" } },
          "http://ann:pw@b.example",
        ],
      }),
      { PSYNC_SERVERS: "https://A.example/x https://a.example http://b.example" },
    );
    const [a, other, b] = await config.servers();
    assert.deepEqual(a?.headers(), { "x-key": "k1", authorization: "Bearer t" });
    assert.deepEqual(other?.headers(), {}, "another path is another server");
    assert.ok(b?.url.authorization()?.startsWith("Basic "));
    const [own] = await config.servers(["https://me:mine@a.example/x"]);
    assert.ok(own);
    assert.equal(own.headers()["x-key"], "k1");
    assert.equal(own.url.authorization(), `Basic ${btoa("me:mine")}`);
    const [plain] = await config.servers(["http://a.example/x"]);
    assert.deepEqual(plain?.headers(), {}, "secrets of an https server do not go to http");
  });

  const url = "https://a.example";
  const BAD_CONFIGS: readonly (readonly [config: unknown, place: string])[] = [
    [[], "not an object"],
    [7, "not an object"],
    [null, "not an object"],
    [{ server: [] }, 'a setting that psync does not know: "server"'],
    [{ servers: "http://a" }, "servers: not a list"],
    [{ servers: null }, "servers: not a list"],
    [{ servers: [1] }, "servers[0]: not an object"],
    [{ servers: [url, "ftp://a"] }, 'servers[1]: not a server address: "ftp://a"'],
    [{ servers: [`${url}?token=hunter2`] }, "servers[0]: not a server address"],
    [{ servers: ["http://ann:hunter2@a:99999"] }, "servers[0]: not a server address"],
    [{ servers: [{}] }, "servers[0]: url: not an address"],
    [{ servers: [{ url: 7 }] }, "servers[0]: url: not an address"],
    [{ servers: [{ url: "http://a/#x" }] }, "servers[0]: url: not a server address"],
    [
      { servers: [{ url, header: {} }] },
      'servers[0]: a setting that psync does not know: "header"',
    ],
    [{ servers: [{ url, headers: ["hunter2"] }] }, "servers[0].headers: not an object"],
    [{ servers: [{ url, headers: null }] }, "servers[0].headers: not an object"],
    [{ servers: [{ url, headers: { "x-a": 2 } }] }, "servers[0].headers: x-a: the value"],
    [{ servers: [{ url, headers: { "x-a": "" } }] }, "servers[0].headers: x-a: the value"],
    [{ servers: [{ url, headers: { "x-a": "hunter2\r\nx: y" } }] }, "servers[0].headers: x-a: "],
    [{ servers: [{ url, headers: { "x-a": "hunter2\u0000" } }] }, "servers[0].headers: x-a: "],
    [{ servers: [{ url, headers: { "x-a": "hunter2 €" } }] }, "servers[0].headers: x-a: "],
    [
      { servers: [{ url, headers: { "x a: hunter2": "x" } }] },
      "servers[0].headers: the name of header 1",
    ],
    [{ servers: [{ url, headers: { "": "x" } }] }, "servers[0].headers: the name of header 1"],
    [
      { servers: [{ url, headers: { "x-a": "1", "X-A": "2" } }] },
      "servers[0].headers: x-a is there twice",
    ],
    [
      {
        servers: [
          { url: "https://ann:hunter2@a.example", headers: { authorization: "Bearer hunter2" } },
        ],
      },
      "servers[0]: both the url and the headers",
    ],
    [
      { servers: [{ url: "http://a", ca: "nonsense.pem" }] },
      "servers[0]: ca, cert and key are for https",
    ],
    [{ servers: [{ url, cert: "nonsense.pem" }] }, "servers[0]: a cert needs its key"],
    [{ servers: [{ url, key: "nonsense.pem" }] }, "servers[0]: a key needs its cert"],
    [{ servers: [{ url, ca: 7 }] }, "servers[0].ca: not a file's name"],
    [{ servers: [{ url, ca: "not-there.pem" }] }, "servers[0].ca: cannot be read: ENOENT"],
    [{ servers: [{ url, ca: "nonsense.pem" }] }, "servers[0].ca: there is no certificate"],
    [{ servers: [{ url, ca: "half.pem" }] }, "servers[0].ca: certificate 1 of it cannot be read"],
    [
      { servers: [{ url, cert: "half.pem", key: "nonsense.pem" }] },
      "servers[0].cert: certificate 1",
    ],
    [{ cacheSize: "much" }, "cacheSize: not a size"],
    [{ cacheSize: 7 }, "cacheSize: not a text in quotes"],
    [{ cacheSize: null }, "cacheSize: not a text in quotes"],
    [{ limitRate: "fast" }, "limitRate: not a rate"],
    [{ limitRate: 7 }, "limitRate: not a text in quotes"],
  ];
  for (const [config, place] of BAD_CONFIGS) {
    it(`CONFIG-1: ${JSON.stringify(config)} is refused with the file and the place`, async () => {
      const settings = await withConfig(JSON.stringify(config));
      const error = await usageErrorOf(settings.servers());
      assert.ok(error.message.startsWith(`${join(store, "config.json")}: ${place}`), error.message);
      assert.doesNotMatch(inspect(error), /hunter2/);
      assert.equal((await settings.configProblem())?.message, error.message);
    });
  }

  for (const name of ["Host", "content-length", "TE", "Transfer-Encoding", "Connection", "range"]) {
    it(`CONFIG-1: the header ${name} cannot be set`, async () => {
      const settings = await withConfig(
        JSON.stringify({ servers: [{ url, headers: { [name]: "x" } }] }),
      );
      const { message } = await usageErrorOf(settings.servers());
      assert.match(message, new RegExp(`${name.toLowerCase()} cannot be set`));
    });
  }

  const BROKEN: readonly (readonly [text: string, line: number, column: number])[] = [
    ["", 1, 1],
    ["{", 1, 2],
    ["{}x", 1, 3],
    ['{"servers": ["http://a",]}', 1, 25],
    [
      '{\n  "servers": [\n    { "headers": { "authorization": "Bearer hunter2" x } }\n  ]\n}',
      3,
      54,
    ],
    ['{\n  "cacheSize": "1GB"\n  "limitRate": "hunter2"\n}', 3, 3],
    ['{"a": hunter2}', 1, 7],
    ['{"a": "hunter2\n"}', 1, 7],
    ['{"a": TRUE}', 1, 7],
    ['{"a": "\\x"}', 1, 7],
    ["{'a': 1}", 1, 2],
    ['{"a" 1}', 1, 6],
    ['{"a": [1, {"b": -}]}', 1, 17],
  ];
  for (const [text, line, column] of BROKEN) {
    it(`CONFIG-1, SECRET-1: ${JSON.stringify(text)} is no JSON at line ${line}, column ${column}`, async () => {
      const error = await usageErrorOf((await withConfig(text)).servers());
      const path = join(store, "config.json");
      assert.equal(error.message, `${path}: line ${line}, column ${column}: not JSON`);
      assert.doesNotMatch(inspect(error), /hunter2/);
    });
  }

  it("CONFIG-1: an address that means nothing is named with where it stands", async () => {
    const environment = { PSYNC_SERVERS: "http://a,http://b:0" };
    const fromEnvironment = await usageErrorOf((await withConfig("{}", environment)).servers());
    assert.match(fromEnvironment.message, /^PSYNC_SERVERS: not a server address: "http:\/\/b:0"/);
    const named = resolveSettings({ store, server: ["http://a/?q"] }, environment);
    const fromCommand = await usageErrorOf(named.servers());
    assert.match(fromCommand.message, /^--server: not a server address: .*: it has a query$/);
  });

  it("PROXY-1: a proxy's address that means nothing is named with its variable, without credentials", async () => {
    for (const [name, value] of [
      ["HTTPS_PROXY", "socks5://ann:hunter2@p:1080"],
      ["https_proxy", "http://ann:hunter2@p:99999"],
      ["http_proxy", "http://ann:hunter2@p/path"],
      ["HTTP_PROXY", "http://ann:hunter2@p:0"],
    ] as const) {
      const error = await usageErrorOf((await withConfig("{}", { [name]: value })).servers());
      assert.ok(error.message.startsWith(`${name}: not a proxy's address`), error.message);
      assert.doesNotMatch(inspect(error), /hunter2/);
    }
  });

  it("SECRET-1: no dump of settings shows a secret", async () => {
    const settings = await withConfig(
      JSON.stringify({
        servers: [
          { url, headers: { authorization: "Bearer hunter2", "x-key": "hunter2" } },
          "https://ann:hunter2@b.example",
        ],
      }),
      { https_proxy: "http://ann:hunter2@p:3128" },
    );
    const servers = await settings.servers();
    const shown = [settings, servers].map((value) =>
      inspect(value, { depth: 9, showHidden: true }),
    );
    assert.equal(servers.length, 2);
    assert.equal(servers[0]?.proxies?.https?.display, "http://p:3128");
    assert.doesNotMatch(`${shown.join()} ${JSON.stringify(servers)}`, /hunter2|Basic|Bearer/);
  });
});

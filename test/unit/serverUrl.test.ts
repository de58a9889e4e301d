import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "node:test";
import { isPsyncError } from "../../src/core/errors.js";
import { parseServerUrl } from "../../src/fetch/serverUrl.js";

describe("a server's address", () => {
  const READ: readonly (readonly [text: string, display: string, basePath: string])[] = [
    ["http://a.example", "http://a.example", "/"],
    ["https://a.example/", "https://a.example", "/"],
    ["https://a.example:443/x", "https://a.example/x", "/x/"],
    ["http://a.example:8000/blocks/", "http://a.example:8000/blocks", "/blocks/"],
    ["http://a.example/b%20c/d", "http://a.example/b%20c/d", "/b%20c/d/"],
    ["HTTP://A.example", "http://a.example", "/"],
    [" http://a.example\n", "http://a.example", "/"],
    ["a.example", "http://a.example", "/"],
    ["localhost:8000", "http://localhost:8000", "/"],
    ["10.0.0.1:8000/blocks", "http://10.0.0.1:8000/blocks", "/blocks/"],
    ["[::1]:8000", "http://[::1]:8000", "/"],
  ];
  for (const [text, display, basePath] of READ) {
    it(`${JSON.stringify(text)} is ${display}`, () => {
      const url = parseServerUrl(text);
      assert.equal(url.display, display);
      assert.equal(url.basePath, basePath);
      assert.equal(url.authorization(), undefined);
    });
  }

  const REFUSED = [
    "",
    " ",
    "8000",
    ":8000",
    "http://",
    "http:a.example",
    "https:/a.example",
    "ftp://a.example",
    "file:///etc",
    "http://a.example:99999",
    "http://a.example:0",
    "http://a.example/?x=1",
    "http://a.example/?",
    "http://a.example/#x",
    "http://a b",
    "a.example:port",
    "mailto:x",
    "http://a.example\\b",
  ];
  for (const text of REFUSED) {
    it(`${JSON.stringify(text)} is refused with a hint`, () => {
      assert.throws(
        () => parseServerUrl(text),
        (error) => isPsyncError(error, "ERR_PSYNC_USAGE") && error.hint !== undefined,
      );
    });
  }

  it("credentials become a header, and are nowhere else", () => {
    const url = parseServerUrl("https://ann:s%40cret%C3%A9@a.example/x");
    const expected = Buffer.from("ann:s@creté").toString("base64");
    assert.equal(url.authorization(), `Basic ${expected}`);
    const shown = `${inspect(url, { depth: 9 })} ${JSON.stringify(url)} ${url.display}`;
    assert.doesNotMatch(shown, /cret|ann|Basic/);
  });

  for (const text of [
    "http://ann:hunter2@a.example:99999",
    "ann:hunter2@a example",
    "ftp://ann:hunter2@a.example",
    "http://ann:hunter2/x@y@:1",
    "http://ann:hunter2%@a.example",
    "http://ann:hunter2@a.example/?q",
  ]) {
    it(`the error about ${text.slice(-12)} shows no credentials`, () => {
      assert.throws(
        () => parseServerUrl(text),
        (error) => isPsyncError(error, "ERR_PSYNC_USAGE") && !/hunter2|ann/.test(inspect(error)),
      );
    });
  }
});

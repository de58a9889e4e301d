import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { describe, it } from "node:test";
import { isPsyncError } from "../../src/core/errors.js";
import { parseServerAddress, urlsOf } from "../../src/server/serverAddress.js";

describe("an address to listen on", () => {
  const READ: readonly (readonly [string | undefined, string | undefined, number])[] = [
    [undefined, "localhost", 8000],
    ["", "localhost", 8000],
    ["8080", "localhost", 8080],
    [":8080", undefined, 8080],
    ["host.example", "host.example", 8000],
    ["host.example:1", "host.example", 1],
    ["[::1]:8080", "::1", 8080],
    ["[::1]", "::1", 8000],
    ["::1", "::1", 8000],
    ["0.0.0.0:0", "0.0.0.0", 0],
  ];
  for (const [text, host, port] of READ) {
    it(`${JSON.stringify(text)} is ${host ?? "every interface"}, port ${port}`, () => {
      assert.deepEqual(parseServerAddress(text), { host, port });
    });
  }

  for (const text of [":", "a:", "a:b", "a:65536", "70000", "[]:1", "[x]:1", "a b", "http://a:1"]) {
    it(`${JSON.stringify(text)} is refused with a hint`, () => {
      assert.throws(
        () => parseServerAddress(text),
        (error) => isPsyncError(error, "ERR_PSYNC_USAGE") && error.hint !== undefined,
      );
    });
  }
});

describe("the URLs of a listening server", () => {
  const info = (
    address: string,
    family: "IPv4" | "IPv6",
    internal = false,
  ): NetworkInterfaceInfo => {
    const rest = { address, internal, netmask: "", mac: "", cidr: null };
    return family === "IPv4" ? { ...rest, family } : { ...rest, family, scopeid: 0 };
  };
  const interfaces = {
    lo: [info("127.0.0.1", "IPv4", true), info("::1", "IPv6", true)],
    eth0: [info("fe80::1", "IPv6"), info("2001:db8::5", "IPv6"), info("10.0.0.5", "IPv4")],
  };

  it("one address is one URL", () => {
    assert.deepEqual(urlsOf({ address: "127.0.0.1", port: 8000 }, interfaces), [
      "http://127.0.0.1:8000",
    ]);
    assert.deepEqual(urlsOf({ address: "::1", port: 8000 }, interfaces), ["http://[::1]:8000"]);
  });

  it("every interface is the addresses that other machines can use", () => {
    assert.deepEqual(urlsOf({ address: "0.0.0.0", port: 1 }, interfaces), ["http://10.0.0.5:1"]);
    assert.deepEqual(urlsOf({ address: "::", port: 1 }, interfaces), [
      "http://10.0.0.5:1",
      "http://[2001:db8::5]:1",
    ]);
  });

  it("a machine without a network has loopback", () => {
    const lonely = { lo: interfaces.lo };
    assert.deepEqual(urlsOf({ address: "0.0.0.0", port: 1 }, lonely), ["http://127.0.0.1:1"]);
  });
});

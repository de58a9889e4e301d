import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { isPsyncError } from "../../src/core/errors.js";
import { formatHashlist } from "../../src/hashlist/format.js";
import type { Hashlist } from "../../src/hashlist/hashlist.js";
import { parseHashlist } from "../../src/hashlist/parse.js";

const A = "a".repeat(63) + "1";
const B = "b".repeat(63) + "2";

async function parse(text: string | Buffer, chunkBytes = 7): Promise<Hashlist> {
  const bytes = Buffer.from(text);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    chunks.push(bytes.subarray(at, at + chunkBytes));
  }
  return parseHashlist(chunks, { name: "x.hashlist" });
}

async function problemOf(text: string | Buffer): Promise<string> {
  for (const chunkBytes of [1, 64, 1 << 20]) {
    await assert.rejects(parse(text, chunkBytes), (error) =>
      isPsyncError(error, "ERR_PSYNC_BAD_HASHLIST"),
    );
  }
  return parse(text).then(
    () => "",
    (error: unknown) => (error as Error).message,
  );
}

describe("reading a hashlist", () => {
  it("LIST-1: hashes and trailer are read, whatever pieces they come in", async () => {
    const text = `${A}\n${B}\n\nsize: 2100000\nblock-size: 2097152\nmade-by: somebody\n`;
    for (const chunkBytes of [1, 3, 64, 65, 66, 1000]) {
      const list = await parse(text, chunkBytes);
      assert.equal(list.blockCount, 2);
      assert.equal(list.hashAt(0), A);
      assert.equal(list.hashAt(1), B);
      assert.equal(list.sizeBytes, 2_100_000);
      assert.equal(list.blockSizeBytes, 2_097_152);
      assert.deepEqual(list.extraTrailer, [{ key: "made-by", value: "somebody" }]);
      assert.equal(formatHashlist(list), text);
    }
  });

  it("LIST-1: a plain list has blocks of 2 MiB and no known size", async () => {
    const list = await parse(`${A}\n${B}\n`);
    assert.equal(list.blockSizeBytes, 2 * 1024 * 1024);
    assert.equal(list.sizeBytes, undefined);
  });

  it("LIST-1: CRLF, upper case and a missing last newline are accepted", async () => {
    const plain = await parse(`${A}\n${B}\n`);
    for (const text of [
      `${A}\r\n${B}\r\n`,
      `${A.toUpperCase()}\n${B}\n`,
      `${A}\n${B.toUpperCase()}`,
      `${A}\n${B}`,
      `${A}\r\n${B}\r\n\r\nsize: 2100000\r\n`,
    ]) {
      for (const chunkBytes of [1, 65, 1000]) {
        const list = await parse(text, chunkBytes);
        assert.equal(list.digest, plain.digest, JSON.stringify(text));
        assert.equal(list.hashAt(1), B);
      }
    }
  });

  it("LIST-1: the digest is the SHA-256 of the bare lines, with or without a trailer", async () => {
    const expected = createHash("sha256").update(`${A}\n${B}\n`).digest("hex");
    assert.equal((await parse(`${A}\n${B}\n`)).digest, expected);
    assert.equal((await parse(`${A}\n${B}\n\nsize: 2100000\n`)).digest, expected);
  });

  it("LIST-1: an empty list is an empty file", async () => {
    for (const text of ["", "\n", "\nsize: 0\nblock-size: 2097152\n"]) {
      const list = await parse(text);
      assert.equal(list.blockCount, 0);
      assert.equal(list.sizeBytes, 0);
    }
  });

  it("LIST-3: what is wrong is told with name, line and column", async () => {
    const cases: readonly (readonly [string | Buffer, RegExp])[] = [
      [`\ufeff${A}\n`, /^x\.hashlist:1:1: a byte order mark/],
      [`${A}\n${B.slice(1)}\n`, /^x\.hashlist:2:64: a hash of 63 hex digits/],
      [`${A}\n${B}0\n`, /^x\.hashlist:2:65: more after the 64 hex digits/],
      [`${A} \n`, /^x\.hashlist:1:65: more after/],
      [` ${A}\n`, /^x\.hashlist:1:1: a space/],
      [`${A}\n# comment\n`, /^x\.hashlist:2:1: `#` where a hex digit belongs/],
      [`${A.slice(0, 10)}\0${A.slice(11)}\n`, /^x\.hashlist:1:11: a NUL byte/],
      [Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0a]), /^x\.hashlist:1:1: the byte 0x89/],
      [`${A}\n\nsize 12\n`, /^x\.hashlist:3:1: not a trailer line/],
      [`${A}\n\nsize: many\n`, /^x\.hashlist:3:7: size is not a whole number/],
      [`${A}\n\nsize: -1\n`, /^x\.hashlist:3:7: size is not/],
      [`${A}\n\nsize: 5\nsize: 5\n`, /^x\.hashlist:4:1: a second size/],
      [`${A}\n\nsize: 99999999\n`, /^x\.hashlist:3:7: a size of 99999999 contradicts the list/],
      [`${A}\n${B}\n\nsize: 5\n`, /^x\.hashlist:4:7: a size of 5 contradicts/],
      [`\nsize: 5\n`, /^x\.hashlist:2:7: a size of 5 contradicts/],
      [`${A}\n\nsize: 0\n`, /^x\.hashlist:3:7: a size of 0 contradicts/],
      [`${A}\n\nblock-size: 0\n`, /^x\.hashlist:3:13: a block size of 0/],
      [`${A}\n\nblock-size: 67108865\n`, /^x\.hashlist:3:13: a block size of 67108865/],
      [`${A}\n\n${B}\n`, /^x\.hashlist:3:1: not a trailer line/],
    ];
    for (const [text, expected] of cases) assert.match(await problemOf(text), expected);
  });

  it("LIST-4: a line without an end is refused before it fills the memory", async () => {
    let givenBytes = 0;
    function* endless(first: string, repeated: string): Generator<Buffer> {
      yield Buffer.from(first);
      const chunk = Buffer.from(repeated.repeat(65536 / repeated.length));
      for (; givenBytes < 1024 ** 3; givenBytes += chunk.length) yield chunk;
    }
    for (const [first, repeated] of [
      ["", "a"],
      ["", "junk"],
      [`${A}\n\n`, "k"],
      [`${A}\n\n`, "key: value\n"],
      [`${A}\n\n`, "\n"],
    ] as const) {
      givenBytes = 0;
      await assert.rejects(parseHashlist(endless(first, repeated), { name: "junk" }), (error) =>
        isPsyncError(error, "ERR_PSYNC_BAD_HASHLIST"),
      );
      assert.ok(givenBytes < 1024 ** 2, `${givenBytes} bytes were read`);
    }
  });

  it("LIST-4: more blocks than a list may have are refused", async () => {
    const chunks = [Buffer.from(`${A}\n`.repeat(11))];
    for (const text of chunks) {
      await assert.rejects(parseHashlist([text], { name: "long", maxBlockCount: 10 }), /long:11:1/);
    }
    const list = await parseHashlist(chunks, { name: "long", maxBlockCount: 11 });
    assert.equal(list.blockCount, 11);
  });
});

import { strict as assert } from "node:assert";
import { chmod, mkdir, mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import type { BlockHash } from "../../src/block/hash.js";
import type { BlockSource } from "../../src/block/ports.js";
import { blockOf, type VerifiedBlock } from "../../src/block/verify.js";
import { orAbort } from "../../src/core/abort.js";
import { systemClock } from "../../src/core/clock.js";
import { isPsyncError, PsyncError } from "../../src/core/errors.js";
import { createLogger } from "../../src/core/log.js";
import { createFileSystem } from "../../src/mount/fileSystem.js";
import { createFolderTree } from "../../src/mount/tree.js";
import { seededBytes } from "../support/blocks.js";
import { listOf, madeUpHashes, mapSource } from "../support/lists.js";
import { createManualClock } from "../support/manualClock.js";
import { until } from "../support/until.js";

const NEVER = new AbortController().signal;
const MIB = 1024 * 1024;

describe("the mounted file system", () => {
  let root = "";
  let blocks: Map<BlockHash, VerifiedBlock>;
  const messages: string[] = [];
  const log = createLogger((_level, message) => messages.push(message));

  before(async () => {
    root = await mkdtemp(join(tmpdir(), "psync-fs-"));
  });
  after(() => rm(root, { recursive: true, force: true }));
  beforeEach(() => {
    blocks = new Map();
    messages.length = 0;
  });

  /** Writes a list as a new file, so that it is another one even within a tick of the clock. */
  const put = async (
    name: string,
    bytes: Uint8Array,
    options = { plain: false },
  ): Promise<void> => {
    const listed = await listOf(bytes, MIB * 2, options);
    for (const [hash, block] of listed.blocks) blocks.set(hash, block);
    await writeFile(join(root, "new"), listed.text);
    await rename(join(root, "new"), join(root, `${name}.hashlist`));
  };

  const fileSystemOver = (source: BlockSource, clock = systemClock) => {
    const known = new Map<string, number>();
    const sizes = {
      get: (digest: string) => known.get(digest),
      set: (digest: string, sizeBytes: number) => void known.set(digest, sizeBytes),
    };
    const tree = createFolderTree({ root, log });
    return createFileSystem({ tree, source, sizes, clock, log });
  };

  const readAll = async (
    fileSystem: ReturnType<typeof fileSystemOver>,
    handle: number,
    length: number,
  ) => Buffer.concat(await fileSystem.read(handle, { offset: 0, length }, NEVER));

  it("LAZY-1: names, sizes and opens of lists with trailers ask for no block", async () => {
    await put("a", seededBytes("a", 3 * MIB));
    const { source, asked } = mapSource(blocks);
    const fileSystem = fileSystemOver(source);
    await fileSystem.list("/", NEVER);
    assert.equal((await fileSystem.attributes("/a", NEVER)).sizeBytes, 3 * MIB);
    await fileSystem.open("/a", NEVER);
    assert.equal(asked.length, 0);
  });

  it("SIZE-2: the size of a plain list is learned from its last block, once", async () => {
    await put("plain", seededBytes("p", 2 * MIB + 5), { plain: true });
    const { source, asked } = mapSource(blocks);
    const fileSystem = fileSystemOver(source);
    for (let time = 0; time < 3; time += 1) {
      assert.equal((await fileSystem.attributes("/plain", NEVER)).sizeBytes, 2 * MIB + 5);
    }
    assert.equal(asked.length, 1);
  });

  it("SIZE-1: a size that cannot be learned is an error, not a guess", async () => {
    await put("plain", seededBytes("q", 100), { plain: true });
    const fileSystem = fileSystemOver(mapSource(new Map()).source);
    await assert.rejects(fileSystem.attributes("/plain", NEVER), (error) =>
      isPsyncError(error, "ERR_PSYNC_BLOCK_UNAVAILABLE"),
    );
  });

  it("READ-4: an error that is answered again from memory is one line in the log", async () => {
    await put("a", seededBytes("a", 100));
    const error = new PsyncError("ERR_PSYNC_BLOCK_UNAVAILABLE", "nobody has it", {
      details: ["http://x: 404"],
    });
    const fileSystem = fileSystemOver({ fetch: () => Promise.reject(error) });
    const { handle } = await fileSystem.open("/a", NEVER);
    for (let time = 0; time < 3; time += 1) {
      await assert.rejects(fileSystem.read(handle, { offset: 0, length: 1 }, NEVER), error);
    }
    assert.deepEqual(messages, ["cannot read /a: nobody has it; http://x: 404"]);
  });

  it("READ-3: a read and a stat that nobody answers end by their deadlines", async () => {
    await put("a", seededBytes("a", 100));
    await put("plain", seededBytes("b", 100), { plain: true });
    const clock = createManualClock();
    const silent: BlockSource = { fetch: () => new Promise(() => undefined) };
    const fileSystem = fileSystemOver(silent, clock);
    const { handle } = await fileSystem.open("/a", NEVER);
    const reading = fileSystem.read(handle, { offset: 0, length: 1 }, NEVER);
    clock.advance(29_999);
    clock.advance(1);
    await assert.rejects(reading, (error) => isPsyncError(error, "ERR_PSYNC_DEADLINE"));
    // What it waited for may be a file or a disk: a mount that is offline asks no server.
    assert.deepEqual(messages, ["cannot read /a: there was no answer within 30 s"]);
    const asking = new AbortController();
    const stat = fileSystem.attributes("/plain", asking.signal);
    const stopped = assert.rejects(stat, (error) => isPsyncError(error, "ERR_PSYNC_DEADLINE"));
    for (let turn = 0; turn < 200; turn += 1) {
      clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await stopped;
  });

  it("CHANGE-2: an open file keeps its bytes and its size; CHANGE-1: the next open has the new ones", async () => {
    const older = seededBytes("v1", 5000);
    const newer = seededBytes("v2", 7000);
    await put("f", older);
    const fileSystem = fileSystemOver(mapSource(blocks).source);
    const first = await fileSystem.open("/f", NEVER);
    await put("f", newer);
    assert.equal((await fileSystem.attributes("/f", NEVER)).sizeBytes, 7000);
    const second = await fileSystem.open("/f", NEVER);
    assert.notEqual(second.version, first.version);
    assert.deepEqual(await readAll(fileSystem, first.handle, 9000), older);
    assert.deepEqual(await readAll(fileSystem, second.handle, 9000), newer);
    assert.equal(fileSystem.openAttributes(first.handle).sizeBytes, 5000);
    fileSystem.release(first.handle);
    await assert.rejects(
      async () => fileSystem.read(first.handle, { offset: 0, length: 1 }, NEVER),
      (error) => isPsyncError(error, "ERR_PSYNC_BAD_HANDLE"),
    );
  });

  it("CHANGE-1: a list that is rewritten in place, twice at once, is seen as it is", async () => {
    const fileSystem = fileSystemOver(mapSource(blocks).source);
    for (let round = 0; round < 20; round += 1) {
      const sizeBytes = 1000 + round;
      const { text } = await listOf(seededBytes(`r${round}`, sizeBytes));
      await writeFile(join(root, "r.hashlist"), text);
      assert.equal((await fileSystem.attributes("/r", NEVER)).sizeBytes, sizeBytes);
    }
  });

  it("LIST-2: a bad list is listed, cannot be opened, and is in the log with its line and column", async () => {
    await put("good", seededBytes("g", 10));
    await writeFile(join(root, "bad.hashlist"), "no hash\n");
    const fileSystem = fileSystemOver(mapSource(blocks).source);
    const names = (await fileSystem.list("/", NEVER)).map(({ name }) => name);
    assert.ok(names.includes("bad") && names.includes("good"));
    for (const asked of [fileSystem.attributes("/bad", NEVER), fileSystem.open("/bad", NEVER)]) {
      await assert.rejects(asked, (error) => isPsyncError(error, "ERR_PSYNC_BAD_HASHLIST"));
    }
    assert.ok(messages.some((text) => text.includes(`${join(root, "bad.hashlist")}:1:1: `)));
    const { handle } = await fileSystem.open("/good", NEVER);
    assert.equal((await readAll(fileSystem, handle, 100)).length, 10);
    await rm(join(root, "bad.hashlist"));
  });

  it("TREE-3: mtime and exec bit are the list's; nothing can be written", async () => {
    await put("tool", seededBytes("t", 10));
    await chmod(join(root, "tool.hashlist"), 0o755);
    await utimes(join(root, "tool.hashlist"), 1_000_000_000, 1_234_567_890);
    const fileSystem = fileSystemOver(mapSource(blocks).source);
    const attributes = await fileSystem.attributes("/tool", NEVER);
    assert.equal(attributes.permissions, 0o555);
    assert.equal(attributes.mtimeMs, 1_234_567_890_000);
    await chmod(join(root, "tool.hashlist"), 0o644);
    assert.equal((await fileSystem.attributes("/tool", NEVER)).permissions, 0o444);
    assert.equal((await fileSystem.attributes("/", NEVER)).permissions, 0o555);
  });

  it("TREE-4: inode numbers are the same in another mount, and as listed", async () => {
    await mkdir(join(root, "folder"), { recursive: true });
    await put("folder/x", seededBytes("x", 10));
    const one = fileSystemOver(mapSource(blocks).source);
    const two = fileSystemOver(mapSource(blocks).source);
    for (const path of ["/", "/folder", "/folder/x"]) {
      const { inode } = await one.attributes(path, NEVER);
      assert.equal((await two.attributes(path, NEVER)).inode, inode);
      assert.ok(Number.isSafeInteger(inode) && inode > 0);
    }
    const [entry] = await one.list("/folder", NEVER);
    assert.equal(entry?.inode, (await one.attributes("/folder/x", NEVER)).inode);
  });

  it("ERR-1: a folder is not opened, and a missing name is not there", async () => {
    const fileSystem = fileSystemOver(mapSource(blocks).source);
    await assert.rejects(fileSystem.open("/", NEVER), (error) =>
      isPsyncError(error, "ERR_PSYNC_IS_A_FOLDER"),
    );
    await assert.rejects(fileSystem.attributes("/none", NEVER), (error) =>
      isPsyncError(error, "ERR_PSYNC_NO_ENTRY"),
    );
    assert.equal(messages.length, 0);
  });

  it("READ-1: a block of the wrong length is corrupt, never cut or padded", async () => {
    const { text, blocks: whole } = await listOf(seededBytes("w", 3 * MIB), 2 * MIB);
    for (const [hash, block] of whole) blocks.set(hash, block);
    await writeFile(join(root, "w.hashlist"), text.replace("size: 3145728", "size: 3145000"));
    const fileSystem = fileSystemOver(mapSource(blocks).source);
    const { handle } = await fileSystem.open("/w", NEVER);
    const range = { offset: 2 * MIB, length: 100 };
    await assert.rejects(fileSystem.read(handle, range, NEVER), (error) =>
      isPsyncError(error, "ERR_PSYNC_CORRUPT"),
    );
  });

  it("AHEAD-1: a file that is released leaves nothing under way", async () => {
    const bytes = seededBytes("released", 12 * MIB);
    await put("f", bytes);
    const underWay = new Set<BlockHash>();
    const { source } = mapSource(blocks);
    const fileSystem = fileSystemOver({
      fetch: (request) => {
        if (request.urgency?.isWaitedFor !== false) return source.fetch(request);
        underWay.add(request.hash);
        return orAbort<VerifiedBlock>(new Promise(() => undefined), request.signal).finally(() => {
          underWay.delete(request.hash);
        });
      },
    });
    const [one, two] = [await fileSystem.open("/f", NEVER), await fileSystem.open("/f", NEVER)];
    for (const { handle } of [one, two]) {
      for (const offset of [0, 2 * MIB, 4 * MIB]) {
        const parts = await fileSystem.read(handle, { offset, length: 100 }, NEVER);
        assert.deepEqual(Buffer.concat(parts), bytes.subarray(offset, offset + 100));
      }
    }
    assert.equal(underWay.size, 2);
    fileSystem.release(one.handle);
    fileSystem.release(two.handle);
    await until("nothing is under way", () => underWay.size === 0);
  });

  it("AHEAD-2: the open files of a mount share one budget of 64 MiB", async () => {
    const blockCount = 30;
    const trailer = `\nsize: ${blockCount * 2 * MIB}\nblock-size: ${2 * MIB}\n`;
    const ahead: BlockHash[] = [];
    const bytes = new Uint8Array(2 * MIB);
    const fileSystem = fileSystemOver({
      fetch: ({ hash, urgency }) => {
        if (urgency?.isWaitedFor === false) ahead.push(hash);
        // The view takes a source at its word.
        return Promise.resolve({ ...blockOf(bytes), hash });
      },
    });
    for (const name of ["a", "b", "c"]) {
      await writeFile(join(root, `${name}.hashlist`), madeUpHashes(blockCount) + trailer);
      const { handle } = await fileSystem.open(`/${name}`, NEVER);
      for (let block = 0; block < 8; block += 1) {
        await fileSystem.read(handle, { offset: block * 2 * MIB, length: 1 }, NEVER);
      }
    }
    // Of the first two files 2 to 23 each, and then the 32 blocks are used up.
    assert.equal(ahead.length, 22 + 22);
    assert.equal(new Set(ahead).size, ahead.length);
  });
});

/** Keeps the tree tidy: which folder may import which, which package is imported where, and that promises have tests. */
import { strict as assert } from "node:assert";
import { readdir, readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { ERROR_TABLE } from "../src/core/errors.js";

// This runs as dist/test/tidy.test.js.
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What each folder of src/ may import, besides itself. Folders of one rank meet only at the ports in block/. */
const LOWER = ["core", "block", "hashlist"];
const MIDDLE = ["source", "view"];
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  core: [],
  block: ["core"],
  hashlist: ["core", "block"],
  store: LOWER,
  fetch: LOWER,
  source: LOWER,
  view: LOWER,
  mount: [...LOWER, ...MIDDLE],
  server: [...LOWER, ...MIDDLE],
  transfer: [...LOWER, ...MIDDLE],
  "compose.ts": [...LOWER, ...MIDDLE, "store", "fetch", "mount", "server", "transfer"],
  cli: [...LOWER, ...MIDDLE, "fetch", "mount", "server", "transfer", "compose.ts"],
  "index.ts": [...LOWER, ...MIDDLE, "store", "fetch", "mount", "server", "transfer", "compose.ts"],
};

const PACKAGE_HOME: Readonly<Record<string, string>> = {
  "fuse-native": "mount",
  "better-sqlite3": "store",
  undici: "fetch",
  "lru-cache": "source",
  yargs: "cli",
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

async function filesOf(folder: string, suffix: string): Promise<string[]> {
  const names = await readdir(join(ROOT, folder), { recursive: true });
  return names.filter((name) => name.endsWith(suffix)).map((name) => posix.join(folder, name));
}

async function importsOf(folder: string): Promise<Import[]> {
  const imports: Import[] = [];
  for (const file of await filesOf(folder, ".ts")) {
    const text = await readFile(join(ROOT, file), "utf8");
    const pattern =
      /^(?:import|export)\s[^"=]*?\sfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\b(?:import|require)\(\s*"([^"]+)"/gm;
    for (const [, ...groups] of text.matchAll(pattern)) {
      imports.push({ file, specifier: groups.find(Boolean) ?? "" });
    }
  }
  return imports;
}

function topOf(path: string): string {
  return path.split("/")[1] ?? "";
}

describe("the tree", () => {
  it("imports point one way", async () => {
    const wrong: string[] = [];
    const seen = new Set<string>();
    for (const { file, specifier } of await importsOf("src")) {
      seen.add(topOf(file));
      if (!specifier.startsWith(".")) continue;
      const target = posix.join(posix.dirname(file), specifier).replace(/\.js$/, ".ts");
      const [from, to] = [topOf(file), topOf(target)];
      if (from !== to && ALLOWED[from]?.includes(to) !== true) wrong.push(`${file} → ${target}`);
    }
    assert.deepEqual(wrong, []);
    assert.ok(seen.size >= 10, "hardly any file was looked at");
  });

  it("each package is imported in one folder", async () => {
    const wrong: string[] = [];
    const seen = new Set<string>();
    for (const { file, specifier } of await importsOf("src")) {
      if (specifier.startsWith(".") || specifier.startsWith("node:")) continue;
      seen.add(specifier);
      if (PACKAGE_HOME[specifier] !== topOf(file)) wrong.push(`${file} imports ${specifier}`);
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual([...seen].sort(), Object.keys(PACKAGE_HOME).sort());
  });

  it("every promise of docs/semantics.md is named by a test, and tests name only promises that exist", async () => {
    const text = await readFile(join(ROOT, "docs/semantics.md"), "utf8");
    const promised = [...text.matchAll(/^\*\*([A-Z]+-\d+)\*\*/gm)].map(([, name = ""]) => name);
    const tested = new Set<string>();
    for (const file of await filesOf("test", ".test.ts")) {
      if (file === "test/tidy.test.ts") continue;
      const source = await readFile(join(ROOT, file), "utf8");
      // Only in names of tests: a comment holds nobody to anything.
      for (const [, title = ""] of source.matchAll(/\b(?:it|test|describe)\(\s*["'`]([^"'`]+)/g)) {
        for (const [name] of title.matchAll(/\b[A-Z]{2,}-\d+\b/g)) tested.add(name);
      }
    }
    assert.ok(promised.length > 20, `only ${promised.length} promises were found`);
    assert.deepEqual(new Set(promised).size, promised.length, "a promise stands twice");
    assert.deepEqual(
      promised.filter((name) => !tested.has(name)),
      [],
      "no test names these",
    );
    const unknown = [...tested].filter((name) => !promised.includes(name) && name !== "SHA-256");
    assert.deepEqual(unknown, [], "no promise has these names");
  });

  it("docs/errors.md has every code with its exit status and errno", async () => {
    const text = await readFile(join(ROOT, "docs/errors.md"), "utf8");
    for (const [code, { exitCode, errno, httpStatus }] of Object.entries(ERROR_TABLE)) {
      const row = text.split("\n").find((line) => line.includes(`\`${code}\``)) ?? "";
      const cells = row.split("|").map((cell) => cell.trim());
      assert.deepEqual(cells.slice(2, 5), [`${exitCode}`, errno, `${httpStatus}`], code);
    }
  });

  it("ARCHITECTURE.md is short enough to be read", async () => {
    const text = await readFile(join(ROOT, "ARCHITECTURE.md"), "utf8");
    assert.ok(text.split("\n").length <= 150);
  });
});

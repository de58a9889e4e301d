/**
 * Makes a checkout ready: npm's packages, Debian's packages where that is allowed, and the build.
 * The demo, the tests, the checks and CI all come through here. It needs nothing but Node and npm.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

const STAMP = join(ROOT, "node_modules", ".psync-setup");
const MIN_NODE = [20, 19];

/** What Debian calls the things that are needed; the first name that it knows is taken. */
const FUSE_PACKAGES = [["libfuse2t64", "libfuse2"], ["fuse3"]];
const COMPILER_PACKAGES = [["python3"], ["make"], ["g++"]];
const TEST_PACKAGES = {
  "mkfs.ext4": [["e2fsprogs"]],
  nginx: [["nginx-light", "nginx"]],
  openssl: [["openssl"]],
  perl: [["perl-base"]],
  strace: [["strace"]],
};

/** @param {{ withTests?: boolean }} options withTests: also what only the tests use */
export function setUp({ withTests = false } = {}) {
  checkNode();
  installNpmPackages();
  checkSqlite();
  installFuse();
  if (withTests) {
    for (const [program, packages] of Object.entries(TEST_PACKAGES)) {
      if (!hasProgram(program)) tryInstall(program, packages, "some tests are skipped");
    }
  }
  build();
}

export function build() {
  run(process.execPath, [
    join(ROOT, "node_modules/typescript/bin/tsc"),
    "-p",
    join(ROOT, "tsconfig.json"),
  ]);
}

/** Runs a program to its end, its output going where ours goes; ends this process when it fails. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit", ...options });
  if (status !== 0)
    stop(`${[command, ...args].join(" ")} failed${error ? `: ${error.message}` : ""}`);
}

export function stop(message) {
  console.error(`psync: ${message}`);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [minMajor, minMinor] = MIN_NODE;
  if (major > minMajor || (major === minMajor && minor >= minMinor)) return;
  stop(`Node ${minMajor}.${minMinor} or newer is needed; this is ${process.versions.node}`);
}

function installNpmPackages() {
  const wanted = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .update(process.versions.modules)
    .digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return;
  console.log("psync: installing npm packages");
  run("npm", ["ci", "--no-audit", "--no-fund"]);
  writeFileSync(STAMP, wanted);
}

function checkSqlite() {
  if (loads("better-sqlite3")) return;
  console.log("psync: better-sqlite3 has no binary for this machine; compiling it");
  if (!hasProgram("g++") || !hasProgram("make") || !hasProgram("python3")) {
    install("a C++ compiler", COMPILER_PACKAGES);
  }
  run("npm", ["rebuild", "better-sqlite3"]);
  if (!loads("better-sqlite3")) stop("better-sqlite3 does not load; the output above says why");
}

/** Whether a package's native code loads: its constructor must run, not only its JavaScript. */
function loads(name) {
  const script = `const Package = require(${JSON.stringify(name)}); new Package(":memory:").close()`;
  return spawnSync(process.execPath, ["-e", script], { cwd: ROOT }).status === 0;
}

function installFuse() {
  if (!existsSync("/dev/fuse")) {
    console.log("psync: there is no /dev/fuse here, so nothing can be mounted");
    return;
  }
  const hasLibrary =
    spawnSync(process.execPath, ["-e", 'require("fuse-native")'], { cwd: ROOT }).status === 0;
  if (!hasLibrary || !hasProgram("fusermount3")) install("FUSE", FUSE_PACKAGES);
}

/** Installs Debian packages where this user may, else says what to run, and stops. */
function install(what, packages) {
  const problem = tryApt(packages);
  if (problem)
    stop(
      `${what} is missing and ${problem}\nhint: run this, then try again:\n  ${aptCommand(packages)}`,
    );
}

function tryInstall(what, packages, otherwise) {
  const problem = tryApt(packages);
  if (problem)
    console.log(`psync: ${what} is missing (${otherwise}); to have it: ${aptCommand(packages)}`);
}

/** @returns {string | undefined} why it did not work */
function tryApt(packages) {
  if (!hasProgram("apt-get")) return "there is no apt-get here to install it";
  const isRoot = process.getuid() === 0;
  const maySudo = !isRoot && hasProgram("sudo") && spawnSync("sudo", ["-n", "true"]).status === 0;
  if (!isRoot && !maySudo) return "this user may not install it";
  const apt = (...args) => {
    const command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-y", "-q", ...args];
    const [program, ...rest] = isRoot ? command : ["sudo", "-n", ...command];
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    return spawnSync(program, rest, { stdio: ["ignore", "ignore", "inherit"], env }).status === 0;
  };
  const names = () => packages.map(knownName);
  console.log(`psync: installing ${names().join(" ")}`);
  if (apt("install", "--no-install-recommends", ...names())) return undefined;
  // The lists of packages may be missing or old.
  apt("update");
  return apt("install", "--no-install-recommends", ...names()) ? undefined : "apt-get failed";
}

function aptCommand(packages) {
  const sudo = process.getuid() === 0 ? "" : "sudo ";
  return `${sudo}apt-get update && ${sudo}apt-get install -y ${packages.map(knownName).join(" ")}`;
}

/** The first of some names that Debian's lists have a candidate for. */
function knownName(names) {
  const isKnown = (name) => {
    const { stdout } = spawnSync("apt-cache", ["policy", name], { encoding: "utf8" });
    return /Candidate: (?!\(none\))/.test(stdout ?? "");
  };
  return names.find(isKnown) ?? names.at(-1);
}

function hasProgram(name) {
  return (process.env.PATH ?? "")
    .split(":")
    .concat("/usr/sbin", "/sbin")
    .some((folder) => existsSync(join(folder, name)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setUp();

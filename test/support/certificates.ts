/** An authority of a test, and certificates for loopback and for a client, made with the openssl command. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";

/** Why tests that need certificates are skipped; false where they are not. */
export const NO_OPENSSL: string | false =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not installed";

export interface PemPair {
  readonly cert: string;
  readonly key: string;
  readonly certPath: string;
  readonly keyPath: string;
}

export interface Certificates {
  readonly ca: string;
  readonly caPath: string;
  /** For 127.0.0.1 and localhost. */
  readonly server: PemPair;
  /** For another host. */
  readonly elsewhere: PemPair;
  readonly client: PemPair;
}

/** Makes them in a folder; the names of the files begin with `name`. */
export function makeCertificates(folder: string, name = "test"): Certificates {
  const pathOf = (part: string): string => join(folder, `${name}-${part}.pem`);
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { stdio: "pipe" });
  };
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = ["-CA", pathOf("ca"), "-CAkey", pathOf("ca-key"), "-CAcreateserial"];
  openssl(
    ...["req", "-x509", ...newKey, "-keyout", pathOf("ca-key"), "-out", pathOf("ca")],
    ...["-days", "2", "-subj", `/CN=psync ${name} authority`],
  );
  const pair = (part: string, extension: string): PemPair => {
    const [certPath, keyPath] = [pathOf(part), pathOf(`${part}-key`)];
    const [requestPath, extensionPath] = [pathOf(`${part}-request`), pathOf(`${part}-extension`)];
    writeFileSync(extensionPath, `${extension}\n`);
    const subject = ["-subj", `/CN=psync ${part}`];
    openssl("req", "-new", ...newKey, "-keyout", keyPath, "-out", requestPath, ...subject);
    openssl(
      ...["x509", "-req", "-in", requestPath, ...authority, "-out", certPath],
      ...["-days", "2", "-extfile", extensionPath],
    );
    const [cert, key] = [readFileSync(certPath, "utf8"), readFileSync(keyPath, "utf8")];
    return { cert, key, certPath, keyPath };
  };
  return {
    ca: readFileSync(pathOf("ca"), "utf8"),
    caPath: pathOf("ca"),
    server: pair("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
    elsewhere: pair("elsewhere", "subjectAltName=DNS:elsewhere.example"),
    client: pair("client", "extendedKeyUsage=clientAuth"),
  };
}

export interface SuiteCertificates {
  readonly ours: Certificates;
  /** Where their files are, and others can be made. */
  readonly folder: string;
}

/** What the tests of a suite share: made before the first of them, and gone after the last. */
export function suiteCertificates(): SuiteCertificates {
  let folder = "";
  let ours: Certificates | undefined;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "psync-test-"));
    ours = makeCertificates(folder, "ours");
  });
  after(() => rm(folder, { recursive: true, force: true }));
  return {
    get ours() {
      if (!ours) throw new Error("the certificates are made before the first test");
      return ours;
    },
    get folder() {
      return folder;
    },
  };
}

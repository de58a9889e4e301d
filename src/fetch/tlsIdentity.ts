/** Whom a client trusts over TLS and who it is, as PEM texts: checked once, where they come in. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { PsyncError } from "../core/errors.js";

export interface TlsIdentity {
  /** Authorities that may have signed the server's certificate, in place of the system's. */
  readonly ca?: string;
  /** The client's certificate, with those that lead to its authority. */
  readonly cert?: string;
  /** The key of the client's certificate. */
  readonly key?: string;
}

/** @throws ERR_PSYNC_USAGE there is no certificate in it, or one that cannot be read */
export function checkCertificates(pem: string): void {
  const parts = pem.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  if (parts.length === 0) throw usage("there is no certificate in PEM in it");
  parts.forEach((part, index) => {
    try {
      new X509Certificate(part);
    } catch {
      throw usage(`certificate ${index + 1} of it cannot be read`);
    }
  });
}

/** @throws ERR_PSYNC_USAGE it is no private key in PEM, or one that a passphrase locks */
export function checkKey(pem: string): void {
  if (/ENCRYPTED/.test(pem)) throw usage("the key is locked with a passphrase");
  try {
    createPrivateKey(pem);
  } catch {
    throw usage("there is no private key in PEM in it");
  }
}

/** @throws ERR_PSYNC_USAGE the key is not that of the certificate */
export function checkKeyFits({ cert, key }: { readonly cert: string; readonly key: string }): void {
  try {
    createSecureContext({ cert, key });
  } catch {
    throw usage("the key is not that of the certificate");
  }
}

// The causes are left out: they add nothing, and nobody has to wonder what of a key they may hold.
function usage(problem: string): PsyncError {
  return new PsyncError("ERR_PSYNC_USAGE", problem);
}

/**
 * Which server is believed to be the right one: a pinned certificate, one that a given authority signed, or one that this
 * machine trusts. Everything is decided before a connection is handed out, so that no byte of a request (in particular no
 * token) reaches a server that was not accepted.
 */
import { isIP } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { createSecureContext, getCACertificates } from 'node:tls';
import { HawserError } from '../core/errors.ts';

export interface TrustOptions {
  /** SHA-256 of the certificate (DER), hex, with or without colons. Wins over `caCert`. */
  readonly fingerprint?: string;
  /** PEM of the authority. Default: those that Node and this machine trust. */
  readonly caCert?: string;
  /** Accept any certificate. Default false. */
  readonly insecure?: boolean;
}

export interface Trust {
  /** Built once: parsing the authorities costs milliseconds. */
  readonly context: SecureContext;
  /** True: Node verifies chain and name. False: `check` is all there is. */
  readonly verify: boolean;
  /** Node's own authorities are used: those of the machine may be added. */
  readonly usesDefaultStore: boolean;
  /** Null when the server that showed the certificate with this fingerprint may be talked to. */
  check(fingerprint: string, where: string): HawserError | null;
}

/** Throws `request_invalid` when the fingerprint or the certificate cannot be read. */
export function createTrust(options: TrustOptions): Trust {
  const pinned = options.fingerprint === undefined ? null : normaliseFingerprint(options.fingerprint);
  const verify = !options.insecure && pinned === null;
  const check = (found: string, where: string): HawserError | null => {
    if (options.insecure || pinned === null || found === pinned) return null;
    return new HawserError(
      'certificate_changed',
      `The certificate of ${where} is not the one that was pinned: expected ${pinned}, got ${found || 'none'}. If the server ` +
        `got a new certificate, check it and run "hawser login" again; if not, somebody may be listening.`,
      { value: found },
    );
  };
  try {
    const ca = verify ? options.caCert : [];
    return { context: secureContext(ca), verify, usesDefaultStore: ca === undefined, check };
  } catch (cause) {
    throw new HawserError('request_invalid', 'The authority certificate cannot be read: give it as PEM text.', { cause });
  }
}

/** The machine's own store, which Node does not read by itself: it takes a tenth of a second, so only when it is needed. */
export function withSystemStore(trust: Trust): Trust {
  return { ...trust, context: secureContext([...getCACertificates('default'), ...getCACertificates('system')]) };
}

/** Lower-case hex SHA-256 of the peer's certificate; empty when it has none. */
export function fingerprintOf(socket: TLSSocket): string {
  return (socket.getPeerX509Certificate()?.fingerprint256 ?? '').replaceAll(':', '').toLowerCase();
}

/** Throws `request_invalid`. */
export function normaliseFingerprint(text: string): string {
  const hex = text.replace(/[:\s]/g, '').toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new HawserError('request_invalid', `The fingerprint "${text}" is not a SHA-256: 64 hex digits, with or without colons.`, {
    value: text,
  });
}

/** RFC 6066 section 3: an address is not a server name. */
export function serverName(host: string): { servername?: string } {
  return isIP(host) === 0 ? { servername: host } : {};
}

function secureContext(ca?: string | string[]): SecureContext {
  return createSecureContext({ ...HANDSHAKE, ...(ca === undefined ? {} : { ca }) });
}

export const ALPN = ['http/1.1'];
const HANDSHAKE = {
  minVersion: 'TLSv1.3',
  // AES-128 first: with AES in the processor it is the fastest, and 128 bits are enough.
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  // The hybrid first: traffic that is recorded today stays closed to the quantum computers of tomorrow.
  ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
} as const;

/**
 * The server's own certificate, made at the first start and kept: clients pin its fingerprint, as they do with an SSH host key,
 * so it lives long and never changes by itself. ECDSA P-256, self-signed (RFC 5280); written with der.ts because Node signs but
 * does not compose certificates, and a library for that weighs more than this page.
 */
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { HawserError } from '../core/errors.ts';
import { bitString, boolean, integer, objectId, octetString, sequence, setOf, tagged, time, utf8 } from './der.ts';

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate, 64 lower-case hex digits: what clients pin. */
  readonly fingerprint: string;
}

/** Valid for ten years, for localhost, 127.0.0.1, ::1, this machine's name, and `names` (host names and addresses). */
export function createSelfSigned(options: { names?: readonly string[]; nowMs?: number } = {}): Certificate {
  const nowMs = options.nowMs ?? Date.now();
  const names = [...new Set(['localhost', '127.0.0.1', '::1', hostname(), ...(options.names ?? [])])].filter(isUsableName);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(objectId('1.2.840.10045.4.3.2')); // ecdsa-with-SHA256
  const issuer = sequence(setOf(sequence(objectId('2.5.4.3'), utf8('Hawser'))));
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const body = sequence(
    tagged(0, true, integer(Buffer.of(2))), // version 3
    integer(serial),
    algorithm,
    issuer,
    // An hour earlier, for clients whose clock is slow.
    sequence(time(nowMs - 3_600_000), time(nowMs + LIFE_MS)),
    issuer,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, true, sequence(...extensions(names))),
  );
  const der = sequence(body, algorithm, bitString(sign('sha256', body, privateKey)));
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    fingerprint: createHash('sha256').update(der).digest('hex'),
  };
}

/**
 * The certificate in `stateDir` (tls-cert.pem and tls-key.pem, mode 0600), made when there is none. One that can be read and is
 * expired, or does not fit its key, is an error and is not replaced: clients have pinned it.
 */
export async function loadOrCreateCertificate(stateDir: string, names: readonly string[] = []): Promise<Certificate> {
  const certFile = join(stateDir, 'tls-cert.pem');
  const keyFile = join(stateDir, 'tls-key.pem');
  const [cert, key] = await Promise.all([readIfThere(certFile), readIfThere(keyFile)]);
  if (cert !== null && key !== null) return await loadCertificate(certFile, keyFile);
  const made = createSelfSigned({ names });
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  // The certificate last: with it the pair is whole.
  await writePrivate(keyFile, made.key);
  await writePrivate(certFile, made.cert);
  return made;
}

/** A certificate and key that an operator brought. `usage` when they cannot be used. */
export async function loadCertificate(certFile: string, keyFile: string): Promise<Certificate> {
  const [cert, key] = await Promise.all([readPem(certFile), readPem(keyFile)]);
  let parsed: X509Certificate;
  let fits: boolean;
  try {
    parsed = new X509Certificate(cert);
    fits = parsed.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    const message = `"${certFile}" and "${keyFile}" hold no certificate and key in PEM form: give files that do.`;
    throw new HawserError('usage', message, { value: certFile, cause });
  }
  if (!fits) {
    throw new HawserError('usage', `The key "${keyFile}" does not belong to "${certFile}": give the pair.`, { value: keyFile });
  }
  if (Date.parse(parsed.validTo) < Date.now()) {
    const advice = 'put a new one there, or remove it and its key and pin the one that is made then.';
    throw new HawserError('usage', `The certificate "${certFile}" expired on ${parsed.validTo}: ${advice}`, { value: certFile });
  }
  return { cert, key, fingerprint: createHash('sha256').update(parsed.raw).digest('hex') };
}

/** Writes through a second name, so that a crash leaves the old file or the whole new one. Mode 0600. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const partial = `${file}.new`;
  const handle = await open(partial, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await chmod(partial, 0o600);
  await rename(partial, file);
}

/** RFC 5280 section 4.2.1: not an authority, for TLS servers, under these names. */
function extensions(names: readonly string[]): Buffer[] {
  const alternatives = names.map((name) =>
    isIP(name) ? tagged(7, false, addressBytes(name)) : tagged(2, false, Buffer.from(name)),
  );
  return [
    sequence(objectId('2.5.29.19'), boolean(true), octetString(sequence())),
    sequence(objectId('2.5.29.15'), boolean(true), octetString(bitString(Buffer.of(0x80), 7))),
    sequence(objectId('2.5.29.37'), octetString(sequence(objectId('1.3.6.1.5.5.7.3.1')))),
    sequence(objectId('2.5.29.17'), octetString(sequence(...alternatives))),
  ];
}

function addressBytes(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const { hostname: written } = new URL(`http://[${address}]`);
  const [head = '', tail] = written.slice(1, -1).split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const before = groups(head);
  const after = groups(tail ?? '');
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

function isUsableName(name: string): boolean {
  return (isIP(name) > 0 && !name.includes('%')) || /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(name);
}

async function readPem(file: string): Promise<string> {
  const text = await readIfThere(file);
  if (text !== null) return text;
  throw new HawserError('usage', `There is no file "${file}": give the path of a PEM file.`, { value: file });
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new HawserError('usage', `"${file}" cannot be read: check its owner and mode.`, { value: file, cause });
  }
}

/** Ten years of 365.25 days. */
const LIFE_MS = 3652.5 * 86_400_000;

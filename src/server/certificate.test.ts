import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { createSelfSigned, loadCertificate, loadOrCreateCertificate } from './certificate.ts';

const code = (expected: string) => (error: unknown) => error instanceof HawserError && error.code === expected;

describe('the self-signed certificate', () => {
  it('is one that OpenSSL reads, signed by its own key, for ten years', () => {
    const nowMs = Date.now();
    const made = createSelfSigned({ nowMs });
    const parsed = new X509Certificate(made.cert);
    assert.ok(parsed.verify(parsed.publicKey));
    assert.ok(parsed.checkPrivateKey(createPrivateKey(made.key)));
    assert.equal(parsed.ca, false);
    assert.equal(parsed.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.equal(made.fingerprint, parsed.fingerprint256.replaceAll(':', '').toLowerCase());
    assert.ok(Date.parse(parsed.validFrom) < nowMs);
    const years = (Date.parse(parsed.validTo) - nowMs) / (365.25 * 86_400_000);
    assert.ok(Math.abs(years - 10) < 0.01, String(years));
  });

  it('writes years before and from 2050 in their two forms', () => {
    for (const year of [2026, 2039, 2041, 2060]) {
      const parsed = new X509Certificate(createSelfSigned({ nowMs: Date.UTC(year, 5, 1) }).cert);
      assert.equal(new Date(parsed.validTo).getUTCFullYear(), year + 10);
    }
  });

  it('holds for this machine and for the names given', () => {
    const names = ['nas.example', '10.1.2.3', 'fe80::12:3', '2001:db8::', 'not a name', '*'];
    const parsed = new X509Certificate(createSelfSigned({ names }).cert);
    for (const name of ['localhost', 'nas.example']) assert.equal(parsed.checkHost(name), name);
    for (const address of ['127.0.0.1', '::1', '10.1.2.3', 'fe80::12:3', '2001:db8::'])
      assert.equal(parsed.checkIP(address), address);
    assert.equal(parsed.checkHost('other.example'), undefined);
  });
});

describe('the certificate in the state folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hawser-certificate-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is made once, in files that only the owner reads', async () => {
    const first = await loadOrCreateCertificate(folder);
    assert.deepEqual(await loadOrCreateCertificate(folder, ['other.example']), first);
    for (const name of ['tls-key.pem', 'tls-cert.pem']) assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
  });

  it('is not replaced when it is broken, expired or another’s', async () => {
    const certFile = join(folder, 'tls-cert.pem');
    const keyFile = join(folder, 'tls-key.pem');
    const good = await loadOrCreateCertificate(folder);
    const expired = createSelfSigned({ nowMs: Date.UTC(2010, 0) });
    for (const [cert, key] of [
      ['nonsense', good.key],
      [good.cert, 'nonsense'],
      [good.cert, createSelfSigned().key],
      [expired.cert, expired.key],
    ] as const) {
      await writeFile(certFile, cert);
      await writeFile(keyFile, key);
      await assert.rejects(loadOrCreateCertificate(folder), code('usage'));
      assert.equal(await readFile(certFile, 'utf8'), cert);
    }
    await assert.rejects(loadCertificate(join(folder, 'nowhere.pem'), keyFile), code('usage'));
  });
});

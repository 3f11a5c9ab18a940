import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseFingerprint, resolveRemotes } from './connect.ts';
import type { Profiles } from './profiles.ts';

const PIN = 'a'.repeat(64);
const OTHER_PIN = 'b'.repeat(64);
const profiles: Profiles = {
  default: 'home',
  profiles: {
    home: { url: 'https://home:7420', token: 'home-token', fingerprint: PIN },
    work: { url: 'https://work/files', token: 'work-token' },
  },
};
const resolve = (remote: string, env: Record<string, string> = {}) => resolveRemotes([remote], profiles, env);

describe('which server a remote path means', () => {
  it('is the default profile for a bare path', () => {
    const { server, paths } = resolve('/a');
    assert.deepEqual(server, { url: 'https://home:7420', token: 'home-token', fingerprint: PIN, profile: 'home' });
    assert.deepEqual(paths, ['/a']);
  });

  it('is the named profile, whatever the environment says', () => {
    const { server } = resolve('work:/a', { HAWSER_URL: 'https://elsewhere', HAWSER_TOKEN: 'x' });
    assert.deepEqual(server, { url: 'https://work/files', token: 'work-token', profile: 'work' });
  });

  it('is the profile whose address the URL begins with', () => {
    const { server, paths } = resolve('https://work/files/a%20b');
    assert.equal(server.profile, 'work');
    assert.deepEqual(paths, ['/a b']);
  });

  it('is that of HAWSER_URL and HAWSER_TOKEN before the default profile', () => {
    const { server } = resolve('/a', { HAWSER_URL: 'https://ci:1/', HAWSER_TOKEN: 'ci-token', HAWSER_FINGERPRINT: OTHER_PIN });
    assert.deepEqual(server, { url: 'https://ci:1', token: 'ci-token', fingerprint: OTHER_PIN, profile: null });
  });

  it('takes the saved token when HAWSER_URL is that of a profile', () => {
    assert.equal(resolve('/a', { HAWSER_URL: 'https://work/files' }).server.token, 'work-token');
  });

  it('never gets the token of HAWSER_URL at another address', () => {
    const env = { HAWSER_URL: 'https://ci:1', HAWSER_TOKEN: 'ci-token' };
    assert.throws(() => resolve('https://evil/a', env), /No profile is for https:\/\/evil/);
  });

  it('is the address itself with HAWSER_TOKEN alone', () => {
    const { server } = resolve('https://new:1/a', { HAWSER_TOKEN: 't' });
    assert.deepEqual(server, { url: 'https://new:1', token: 't', profile: null });
  });

  it('must be the same for all arguments', () => {
    assert.throws(() => resolveRemotes(['/a', 'work:/b'], profiles, {}), /one command works on one server/);
    assert.deepEqual(resolveRemotes(['/a', 'home:/b', 'https://home:7420/c'], profiles, {}).paths, ['/a', '/b', '/c']);
  });

  it('is the one a resumed command ran on, not the default of today', () => {
    const rerun = { url: 'https://work/files', profile: 'work' };
    assert.equal(resolveRemotes(['/a'], profiles, {}, rerun).server.token, 'work-token');
    assert.throws(() => resolveRemotes(['/a'], profiles, {}, { url: 'https://gone', profile: null }), /https:\/\/gone/);
  });

  it('is asked for when there is none', () => {
    assert.throws(() => resolveRemotes(['/a'], { default: null, profiles: {} }, {}), /hawser login URL/);
    assert.throws(() => resolveRemotes(['/a'], { ...profiles, default: null }, {}), /hawser profiles use/);
  });
});

describe('trust from the environment', () => {
  it('HAWSER_CACERT replaces the pin of the profile', (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'hawser-cli-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'ca.pem');
    writeFileSync(file, '-----BEGIN CERTIFICATE-----\nx\n');
    const { server } = resolve('/a', { HAWSER_CACERT: file });
    assert.equal(server.fingerprint, undefined);
    assert.match(server.caCert ?? '', /BEGIN CERTIFICATE/);
    writeFileSync(file, 'nothing');
    assert.throws(() => resolve('/a', { HAWSER_CACERT: file }), /holds no PEM certificate/);
    assert.throws(() => resolve('/a', { HAWSER_CACERT: join(folder, 'none') }), /ENOENT/);
  });

  it('a fingerprint is read as people write it', () => {
    const colons = PIN.toUpperCase().replaceAll(/(..)(?!$)/g, '$1:');
    for (const text of [PIN, colons, `SHA256:${colons}`, ` sha256 ${PIN}\n`]) assert.equal(parseFingerprint(text, 'it'), PIN);
    for (const text of ['', 'a', `${PIN}a`, PIN.replace('a', 'g')])
      assert.throws(() => parseFingerprint(text, 'it'), /not a SHA-256/);
  });
});

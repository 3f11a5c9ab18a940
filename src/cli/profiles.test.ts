import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  checkProfileName,
  findProfile,
  profilesFile,
  readProfiles,
  withoutProfile,
  withProfile,
  writeProfiles,
} from './profiles.ts';

describe('saved profiles', () => {
  let folder = '';
  const env = () => ({ XDG_CONFIG_HOME: folder });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hawser-profiles-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const one = { url: 'https://h:1', token: 't', fingerprint: 'a'.repeat(64) };

  it('are empty at first', () => assert.deepEqual(readProfiles(env()), { default: null, profiles: {} }));

  it('come back as they were saved, readable by their owner alone', () => {
    writeProfiles(env(), withProfile(readProfiles(env()), 'default', one));
    assert.deepEqual(readProfiles(env()), { default: 'default', profiles: { default: one } });
    assert.equal(statSync(profilesFile(env())).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(profilesFile(env()))).mode & 0o777, 0o700);
  });

  it('are private even when the file was not, and leave nothing beside it', () => {
    writeProfiles(env(), withProfile(readProfiles(env()), 'default', one));
    chmodSync(profilesFile(env()), 0o644);
    writeProfiles(env(), readProfiles(env()));
    assert.equal(statSync(profilesFile(env())).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(dirname(profilesFile(env()))), ['profiles.json']);
  });

  it('that are damaged are named, not thrown away', () => {
    mkdirSync(dirname(profilesFile(env())), { recursive: true });
    for (const text of ['', '{', '[]', 'null', '{"profiles":[]}', '{"profiles":{"a":{"url":1,"token":"t"}}}']) {
      writeFileSync(profilesFile(env()), text);
      assert.throws(() => readProfiles(env()), /profiles\.json is damaged/, text);
    }
  });

  it('keep a default: the first, and the only one left', () => {
    const two = withProfile(withProfile({ default: null, profiles: {} }, 'a', one), 'b', one);
    assert.equal(two.default, 'a');
    assert.equal(withoutProfile(two, 'a').default, 'b');
    const three = withProfile(two, 'c', one);
    assert.equal(withoutProfile(three, 'a').default, null);
    assert.equal(withoutProfile(three, 'b').default, 'a');
  });

  it('are not found by the names of object methods', () => {
    assert.throws(() => findProfile({ default: null, profiles: {} }, 'constructor'), /no profile "constructor"/);
  });

  it('have names that cannot be taken for a path or an address', () => {
    for (const name of ['default', 'files.example.org', 'a-1_b']) assert.equal(checkProfileName(name), name);
    for (const name of ['', 'https', 'a/b', 'a:b', '-x', 'a b', 'x'.repeat(65)]) assert.throws(() => checkProfileName(name));
  });
});

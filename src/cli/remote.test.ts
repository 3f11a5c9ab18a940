import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HawserError } from '../core/errors.ts';
import { parsePath, pathToUrl } from '../core/path.ts';
import { parseRemote, pathOnServer, serverUrl } from './remote.ts';

const codeOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return error instanceof HawserError ? error.code : error;
  }
  return 'nothing thrown';
};

describe('a remote path', () => {
  it('is read in its three forms', () => {
    assert.deepEqual(parseRemote('/a/b'), { kind: 'default', path: '/a/b' });
    assert.deepEqual(parseRemote('work:/a'), { kind: 'profile', name: 'work', path: '/a' });
    assert.deepEqual(parseRemote('https://Host:7420/a%20b'), { kind: 'url', origin: 'https://host:7420', rest: '/a%20b' });
    assert.deepEqual(parseRemote('http://[::1]:80/x'), { kind: 'url', origin: 'http://[::1]', rest: '/x' });
  });

  it('keeps a trailing slash, because it means "into this folder"', () => {
    assert.deepEqual(parseRemote('/a//b//'), { kind: 'default', path: '/a/b/' });
    assert.deepEqual(parseRemote('/'), { kind: 'default', path: '/' });
    const remote = parseRemote('https://h/a/');
    assert.equal(remote.kind === 'url' && pathOnServer(remote, 'https://h'), '/a/');
  });

  it('may hold a colon or an address in its names', () => {
    assert.deepEqual(parseRemote('/a:/b'), { kind: 'default', path: '/a:/b' });
    assert.deepEqual(parseRemote('w:/https://x'), { kind: 'profile', name: 'w', path: '/https:/x' });
  });

  for (const [text, code] of [
    ['a/b', 'usage'],
    ['', 'usage'],
    ['work:a', 'usage'],
    ['ftp://h/a', 'usage'],
    ['https://user:secret@h/a', 'usage'],
    ['https://h/a?b', 'usage'],
    ['https://h/a#b', 'usage'],
    ['https:///a', 'usage'],
    ['/a/../b', 'path_invalid'],
    ['work:/../b', 'path_invalid'],
    ['/.hawser/x', 'path_reserved'],
  ] as const) {
    it(`${JSON.stringify(text)} is refused with ${code}`, () =>
      assert.equal(
        codeOf(() => parseRemote(text)),
        code,
      ));
  }

  it('does not repeat a password in its complaint', () => {
    assert.throws(
      () => parseRemote('https://user:secret@h/a'),
      (error: Error) => !error.message.includes('secret'),
    );
  });

  it('does not climb out of an address by encoded dots', () => {
    const remote = parseRemote('https://h/prefix/%2e%2e/secret');
    assert.equal(
      codeOf(() => remote.kind === 'url' && pathOnServer(remote, 'https://h/prefix')),
      'path_invalid',
    );
  });

  it('is found below the prefix of a proxied server, and only there', () => {
    const remote = parseRemote('https://h/files/a');
    assert.ok(remote.kind === 'url');
    assert.equal(pathOnServer(remote, 'https://h/files'), '/a');
    assert.equal(pathOnServer(remote, 'https://h'), '/files/a');
    assert.equal(pathOnServer(remote, 'https://h/fil'), null);
    assert.equal(pathOnServer(remote, 'https://other/files'), null);
  });

  it('survives being written into an address, whatever its names', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), (names) => {
        let path: string;
        try {
          path = parsePath(`/${names.join('/')}`);
        } catch {
          return;
        }
        const remote = parseRemote(`https://h:1${pathToUrl(path)}`);
        assert.ok(remote.kind === 'url');
        assert.equal(pathOnServer(remote, 'https://h:1'), path);
      }),
    );
  });
});

describe("a server's address", () => {
  it('has one form', () => {
    assert.equal(serverUrl('HTTPS://Host:443/'), 'https://host');
    assert.equal(serverUrl('host:7420'), 'https://host:7420');
    assert.equal(serverUrl('https://h/prefix//'), 'https://h/prefix');
  });
});

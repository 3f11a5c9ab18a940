import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  baseName,
  comparePaths,
  isPlainUtf8,
  isWithin,
  joinPath,
  parentPath,
  parsePath,
  pathFromBytes,
  pathFromKey,
  pathFromUrl,
  pathKey,
  pathToBytes,
  pathToUrl,
} from './path.ts';

/** Any bytes that a name may have. */
const nameBytes = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constantFrom(0x25, 0xc3, 0xa9, 0xed, 0xa0, 0xf0, 0x9f)), {
    minLength: 1,
    maxLength: 12,
  })
  .map((bytes) => bytes.map((byte) => (byte === 0x2f ? 0x5f : byte)))
  .filter((bytes) => !bytes.every((byte) => byte === 0x2e));
const rawPath = fc
  .array(nameBytes, { minLength: 1, maxLength: 4 })
  .map((names) => Uint8Array.from(names.flatMap((name) => [0x2f, ...name])));
const path = rawPath.map((bytes) => parsePath(pathFromBytes(bytes)));

test('every path of allowed bytes is kept byte for byte, and parsing it again changes nothing', () => {
  fc.assert(
    fc.property(rawPath, (bytes) => {
      const parsed = parsePath(pathFromBytes(bytes));
      assert.deepEqual(pathToBytes(parsed), bytes);
      assert.equal(parsePath(parsed), parsed);
    }),
    { numRuns: 1000 },
  );
});

test('repeated and trailing slashes are dropped', () => {
  assert.equal(parsePath('/'), '/');
  assert.equal(parsePath('//'), '/');
  assert.equal(parsePath('/a//b/'), '/a/b');
  assert.equal(parsePath('/...'), '/...');
  assert.equal(parsePath('/a b\n'), '/a b\n');
});

test('what is no path is refused, with a sentence that names it', () => {
  for (const raw of [
    '',
    'a',
    './a',
    '/a/../b',
    '/..',
    '/.',
    '/a/./b',
    '/a\0b',
    `/${'a'.repeat(256)}`,
    `/${'é'.repeat(128)}`,
    '/\ud800',
    'C:\\x',
  ]) {
    assert.throws(() => parsePath(raw), { name: 'HawserError', code: 'path_invalid' }, JSON.stringify(raw));
  }
  assert.throws(() => parsePath('/a/../b'), { message: 'The path "/a/../b" contains "..": give the path without it.' });
  assert.throws(() => parsePath(`/${'a/'.repeat(100_000)}`), { code: 'path_invalid' });
});

test('any ASCII text is the path of its names, or refused for one of them', () => {
  const piece = fc.constantFrom('/', '.', '..', 'a', '.hawser', '.Hawser', '\n', '\0', 'x'.repeat(254));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const raw = pieces.join('');
      const names = raw.split('/').filter((name) => name !== '');
      const isOdd = names.some((name) => name === '.' || name === '..' || name.length > 255 || name.includes('\0'));
      const isRefused = isOdd || !raw.startsWith('/') || names[0]?.toLowerCase() === '.hawser';
      if (isRefused) assert.throws(() => parsePath(raw), { name: 'HawserError' });
      else assert.equal(parsePath(raw), `/${names.join('/')}`);
    }),
    { numRuns: 2000 },
  );
});

test('a name has at most 255 bytes and a path 4096', () => {
  assert.equal(parsePath(`/${'a'.repeat(255)}`).length, 256);
  assert.equal(parsePath(`/${'é'.repeat(127)}`).length, 128);
  assert.equal(parsePath(`/${'\udcff'.repeat(255)}`).length, 256);
  const longest = `/${'x'.repeat(255)}`.repeat(16);
  assert.equal(longest.length, 4096);
  assert.equal(parsePath(longest), longest);
  assert.throws(() => parsePath(`${longest}/x`), { code: 'path_invalid' });
});

test("Hawser's own folder is reserved in every spelling that a file system may take for it", () => {
  for (const raw of ['/.hawser', '/.hawser/', '//.hawser/hawser.db', '/.HAWSER/x', '/.haw\u017fer']) {
    assert.throws(() => parsePath(raw), { code: 'path_reserved' }, raw);
  }
  assert.throws(() => pathFromUrl('/%2ehawser/hawser.db'), { code: 'path_reserved' });
  for (const raw of ['/.hawserx', '/a/.hawser', '/hawser', '/.hawse']) assert.equal(parsePath(raw), raw);
});

test('escapes that together are UTF-8 are the same path as the character', () => {
  assert.equal(parsePath('/\udcc3\udca9'), '/é');
  assert.equal(parsePath('/\udcff'), '/\udcff');
});

test('any path survives the way through a URL, which is plain ASCII', () => {
  fc.assert(
    fc.property(path, (one) => {
      const url = pathToUrl(one);
      assert.match(url, /^[A-Za-z0-9\-._~/%]+$/);
      assert.equal(pathFromUrl(url), one);
      assert.equal(pathFromUrl(url.slice(1)), one);
      assert.equal(new URL(`https://host/files${url}`).pathname, `/files${url}`);
    }),
    { numRuns: 500 },
  );
  assert.equal(pathToUrl('/a/b c'), '/a/b%20c');
});

test('a URL with an encoded slash, NUL, dots or half an escape is refused', () => {
  for (const url of ['/a%2Fb', '/a%2fb', '/a%00', '/a%0', '/a%', '/a%zz', '/%2e%2e/a', '/a/%2E', '/%u0041', '/% 41']) {
    assert.throws(() => pathFromUrl(url), { code: 'path_invalid' }, url);
  }
  assert.throws(() => pathFromUrl('%41'.repeat(100_000)), { code: 'path_invalid' });
  assert.equal(pathFromUrl(''), '/');
  assert.equal(pathFromUrl('%C3%A9+'), '/é+');
});

test('keys are well-formed, different for different paths, and lead back', () => {
  fc.assert(
    fc.property(path, path, (a, b) => {
      assert.ok(pathKey(a).isWellFormed());
      assert.equal(pathFromKey(pathKey(a)), a);
      assert.equal(pathKey(a) === pathKey(b), a === b);
      assert.ok(pathKey(joinPath(a, 'x%')).startsWith(`${pathKey(a)}/`));
    }),
    { numRuns: 500 },
  );
  assert.equal(pathKey('/100%/\udcff é'), '/100%25/%FF é');
  for (const key of ['/%', '/%4', '/%41', '/%ff', '/%7F']) assert.throws(() => pathFromKey(key), { code: 'path_invalid' }, key);
});

test('paths are ordered as their bytes are', () => {
  fc.assert(
    fc.property(path, path, (a, b) => {
      assert.equal(Math.sign(comparePaths(a, b)), Buffer.compare(pathToBytes(a), pathToBytes(b)));
    }),
    { numRuns: 1000 },
  );
  assert.ok(comparePaths('/\u{1f600}', '/\uffff') > 0);
  assert.ok(comparePaths('/\udc80', '/é') < 0);
  assert.equal(comparePaths('/a', '/a'), 0);
});

test('joining, parent, name and within agree', () => {
  fc.assert(
    fc.property(path, nameBytes, (base, bytes) => {
      const name = pathFromBytes(Uint8Array.from(bytes));
      const joined = joinPath(base, name);
      assert.equal(parentPath(joined), base);
      assert.equal(baseName(joined), name);
      assert.ok(isWithin(joined, base) && isWithin(base, base) && isWithin(joined, '/'));
      assert.ok(!isWithin(base, joined) && !isWithin(`${base}x`, base));
    }),
  );
  assert.equal(joinPath('/', 'a/b'), '/a/b');
  assert.equal(parentPath('/a'), '/');
  assert.equal(parentPath('/'), '/');
  assert.equal(baseName('/'), '');
  assert.throws(() => joinPath('/a', '..'), { code: 'path_invalid' });
});

test('a path is plain UTF-8 unless it has escaped bytes', () => {
  assert.ok(isPlainUtf8('/é\u{1f600}'));
  assert.ok(!isPlainUtf8('/a\udc80'));
});

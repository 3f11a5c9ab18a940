import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HawserError } from '../../core/errors.ts';
import { compileExclude } from './exclude.ts';

function excluded(pattern: string, relative: string, isFolder = false): boolean {
  return compileExclude([pattern])!(relative, relative.slice(relative.lastIndexOf('/') + 1), isFolder);
}

test('patterns match names at any depth, and paths from the top', () => {
  const cases: [pattern: string, path: string, expected: boolean][] = [
    ['*.tmp', 'a.tmp', true],
    ['*.tmp', 'x/y/.a.tmp', true],
    ['*.tmp', 'a.tmp.txt', false],
    ['a/*', 'a/b', true],
    ['a/*', 'a/b/c', false],
    ['a/**', 'a/b/c', true],
    ['**/c', 'c', true],
    ['**/c', 'a/b/c', true],
    ['a/**/c', 'a/c', true],
    ['/top', 'top', true],
    ['/top', 'a/top', false],
    ['?', 'ab', false],
    ['?', '\u{1f600}', true],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[!a-c]x', 'dx', true],
    ['*.{jpg,png}', 'a.png', true],
    ['*.{jpg,png}', 'a.gif', false],
    ['a.b', 'axb', false],
    ['a+(b)$', 'a+(b)$', true],
    ['\\*', '*', true],
    ['\\*', 'x', false],
    ['a{b', 'a{b', true],
    ['a[b', 'a[b', true],
    ['[&]', '&', true],
    ['[]]', ']', true],
    ['[^/]', '/', false],
  ];
  for (const [pattern, path, expected] of cases) assert.equal(excluded(pattern, path), expected, `${pattern} ${path}`);
});

test('a trailing slash matches folders only', () => {
  assert.equal(excluded('build/', 'a/build', true), true);
  assert.equal(excluded('build/', 'a/build', false), false);
});

test('a pattern is only refused for a range that runs backwards, and one without wildcards matches exactly itself', () => {
  assert.equal(compileExclude([]), null);
  assert.throws(() => compileExclude(['[z-a]']), { code: 'usage' });
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom(...'*?[]{}\\/!^,-a.z&', '\udcff', '\u{1f600}') }),
      fc.string(),
      (pattern, name) => {
        try {
          compileExclude([pattern])!(name, name, false);
        } catch (error) {
          assert.ok(
            error instanceof HawserError && error.code === 'usage' && /\[.*-.*\]/su.test(pattern),
            `${pattern}: ${error}`,
          );
        }
      },
    ),
  );
  const plain = fc.string().filter((text) => text !== '' && !/[*?[\]{}\\/]/.test(text));
  fc.assert(fc.property(plain, plain, (pattern, name) => excluded(pattern, name) === (pattern === name)));
});

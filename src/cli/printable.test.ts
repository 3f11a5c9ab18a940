import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cellsOf, printable, shorten } from './printable.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)) }),
);

describe('printable text', () => {
  it('cannot drive a terminal, whatever the name', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        assert.doesNotMatch(printable(text), /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/u);
      }),
    );
  });

  it('shows what was there', () => {
    assert.equal(printable('a\x1b[2Jb\nc\u202etxt\udcff\x9b'), 'a\\x1b[2Jb\\nc\\u{202e}txt\\xff\\x9b');
    assert.equal(printable('größe 日本 🙂 a\\b'), 'größe 日本 🙂 a\\b');
  });
});

describe('shortened text', () => {
  it('never takes more cells than it may', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, cells) => {
        assert.ok(cellsOf(shorten(text, cells)) <= cells);
      }),
    );
  });

  it('keeps both ends, and is left alone when it fits', () => {
    assert.equal(shorten('abcdefghij', 10), 'abcdefghij');
    assert.equal(shorten('abcdefghij', 5), 'ab…ij');
    assert.equal(shorten('日本語日本語', 5), '日…語');
  });
});

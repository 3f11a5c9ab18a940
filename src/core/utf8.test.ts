import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeUtf8, encodeUtf8 } from './utf8.ts';

test('any bytes survive the way to text and back', () => {
  // Bytes that often form, or almost form, sequences.
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0xe0, 0xed, 0xf0, 0xf4, 0xc3, 0xc0, 0x80, 0x9f, 0xa0, 0xbf, 0x41),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 24 }), (list) => {
      const bytes = Uint8Array.from(list);
      assert.deepEqual(encodeUtf8(decodeUtf8(bytes)), bytes);
    }),
    { numRuns: 3000 },
  );
});

test('well-formed text is coded as the platform codes it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
      assert.equal(decodeUtf8(new TextEncoder().encode(text)), text);
    }),
    { numRuns: 1000 },
  );
});

test('every code point at a border of the coding survives', () => {
  for (const point of [0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff]) {
    const text = String.fromCodePoint(point);
    assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
    assert.equal(decodeUtf8(encodeUtf8(text)), text);
  }
});

test('overlong forms, coded surrogates, points above U+10FFFF and cut sequences are escaped byte by byte', () => {
  for (const bytes of [
    [0xc0, 0xaf],
    [0xe0, 0x80, 0xaf],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xf0, 0x80, 0x80, 0x80],
    [0xe2, 0x82],
    [0xff],
  ]) {
    assert.equal(decodeUtf8(Uint8Array.from(bytes)), String.fromCharCode(...bytes.map((byte) => 0xdc00 + byte)));
  }
  assert.equal(decodeUtf8(Uint8Array.of(0x61, 0xe2, 0x82, 0x62)), 'a\udce2\udc82b');
});

test('a lone surrogate that stands for no byte is refused', () => {
  for (const text of ['\ud800', 'a\udc7f', '\udd00', '\udbff!']) assert.throws(() => encodeUtf8(text), { code: 'path_invalid' });
});

test('long texts are whole', () => {
  const text = 'é'.repeat(50_000) + 'a'.repeat(50_000);
  assert.equal(decodeUtf8(encodeUtf8(text)), text);
});

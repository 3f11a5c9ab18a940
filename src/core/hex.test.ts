import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bytesEqual, fromHex, isDigestHex, isHexOf, toHex } from './hex.ts';

test('bytes survive the way to hex and back, and hex is what Buffer prints', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.equal(toHex(bytes), Buffer.from(bytes).toString('hex'));
      assert.deepEqual(fromHex(toHex(bytes)), bytes);
    }),
  );
});

test('what is not pairs of hex digits gives null', () => {
  for (const text of ['0', 'zz', '0g', ' 00', '00 ', '0x00', '00\n', 'é0']) assert.equal(fromHex(text), null, text);
  assert.deepEqual(fromHex('AbCd'), Uint8Array.of(0xab, 0xcd));
});

test('a digest is 64 lower-case digits and nothing else', () => {
  assert.ok(isDigestHex('0123456789abcdef'.repeat(4)));
  for (const text of ['', 'a'.repeat(63), 'a'.repeat(65), 'A'.repeat(64), `${'a'.repeat(64)}\n`, 'g'.repeat(64), 7, null]) {
    assert.ok(!isDigestHex(text), String(text));
  }
});

test('bytes are equal only when every one is', () => {
  assert.ok(bytesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 2)));
  assert.ok(!bytesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 3)));
  assert.ok(!bytesEqual(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3)));
});

test('hex says bytes only when it is all of their digits, lower-case', () => {
  const bytes = Uint8Array.of(0x00, 0x9a, 0xbc, 0xff);
  assert.ok(isHexOf('009abcff', bytes));
  for (const text of ['', '009abc', '009abcff00', '009ABCFF', '109abcff', '009abcfe', '0x9abcff']) {
    assert.ok(!isHexOf(text, bytes), text);
  }
});

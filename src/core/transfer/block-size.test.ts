import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockBytesFor, MAX_BLOCK_BYTES, MIN_BLOCK_BYTES } from './block-size.ts';

const MIB = 1024 * 1024;

test('blocks grow with the file', () => {
  for (const [size, blockBytes] of [
    [null, MIB],
    [0, 64 * 1024],
    [16 * MIB, 64 * 1024],
    [16 * MIB + 1, 256 * 1024],
    [1024 * MIB, 256 * 1024],
    [4096 * MIB + 1, 512 * 1024],
    [64 * 1024 * MIB, 4 * MIB],
    [Number.MAX_SAFE_INTEGER, 4 * MIB],
  ] as const) {
    assert.equal(blockBytesFor(size), blockBytes, String(size));
  }
});

test('a block is a power of two within the limits, and up to 64 GiB a file has at most 16384', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 53, noNaN: true }), (exponent) => {
      const size = Math.floor(2 ** exponent) - 1;
      const blockBytes = blockBytesFor(size);
      assert.ok(Number.isInteger(Math.log2(blockBytes)) && blockBytes >= MIN_BLOCK_BYTES && blockBytes <= MAX_BLOCK_BYTES);
      if (size <= 2 ** 36) assert.ok(Math.ceil(size / blockBytes) <= 16384);
    }),
  );
});

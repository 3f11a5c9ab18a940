import assert from 'node:assert/strict';
import { test } from 'node:test';
import { divide, multiply } from './gf256.ts';
import { MAX_SYMBOLS, writeRepairRow } from './matrix.ts';

function row(k: number, symbol: number): number[] {
  const out = new Uint8Array(k + 2);
  writeRepairRow(out, 1, k, symbol);
  assert.deepEqual([out[0], out[k + 1]], [0, 0], 'it writes k coefficients and no more');
  return [...out.subarray(1, k + 1)];
}

test('each coefficient is what the definition says', () => {
  for (let k = 1; k < MAX_SYMBOLS; k += k < 10 ? 1 : 7) {
    for (let symbol = k; symbol < MAX_SYMBOLS; symbol++) {
      const expected = Array.from({ length: k }, (_, j) => divide(multiply(k ^ j, symbol), multiply(symbol ^ j, k)));
      assert.deepEqual(row(k, symbol), expected);
    }
  }
});

test('the first repair symbol is the exclusive or of the source symbols, for every size of block', () => {
  for (let k = 1; k < MAX_SYMBOLS; k++) assert.ok(row(k, k).every((coefficient) => coefficient === 1));
});

test('with one source symbol every repair symbol is a copy', () => {
  for (let symbol = 1; symbol < MAX_SYMBOLS; symbol++) assert.deepEqual(row(1, symbol), [1]);
});

test('the matrix is the one that other versions of the lane speak', () => {
  assert.deepEqual(row(3, 4), [1, 196, 83]);
  assert.deepEqual(row(10, 12), [1, 103, 156, 151, 123, 187, 166, 175, 244, 83]);
});

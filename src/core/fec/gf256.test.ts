import assert from 'node:assert/strict';
import { test } from 'node:test';
import { divide, HALF_PRODUCTS_BYTES, multiply, writeHalfProducts } from './gf256.ts';

/** Long multiplication of polynomials, reduced by 0x11d: the definition. */
function product(a: number, b: number): number {
  let sum = 0;
  for (let bit = 0; bit < 8; bit++) if (b & (1 << bit)) sum ^= a << bit;
  for (let bit = 14; bit >= 8; bit--) if (sum & (1 << bit)) sum ^= 0x11d << (bit - 8);
  return sum;
}

test('every product and quotient is that of polynomials modulo 0x11d', () => {
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) {
      assert.equal(multiply(a, b), product(a, b));
      if (b !== 0) assert.equal(multiply(divide(a, b), b), a);
    }
  }
});

test('the half products of a coefficient add up to its product with any byte', () => {
  const halves = new Uint8Array(256 * HALF_PRODUCTS_BYTES);
  writeHalfProducts(halves);
  for (let coefficient = 0; coefficient < 256; coefficient++) {
    for (let byte = 0; byte < 256; byte++) {
      const at = coefficient * HALF_PRODUCTS_BYTES;
      assert.equal(halves[at + (byte & 15)]! ^ halves[at + 16 + (byte >> 4)]!, product(coefficient, byte));
    }
  }
});

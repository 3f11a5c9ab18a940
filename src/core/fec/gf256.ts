/**
 * The field of 256 elements whose polynomial is x^8 + x^4 + x^3 + x^2 + 1 (0x11d), as bytes. Addition is exclusive or; 2
 * generates every element but 0. Reed-Solomon codes over it: RFC 5510, section 8.1.
 */

/** EXP[i] = 2^i, repeated so that a sum of logarithms up to 1023 needs no reduction by 255. */
export const EXP = new Uint8Array(1024);
/** LOG[EXP[i]] = i for i below 255. 0 has no logarithm; LOG[0] is 0, so that sums leave it out. */
export const LOG = new Uint8Array(256);

/** Bytes of a coefficient's products with the 16 low and the 16 high halves of a byte. */
export const HALF_PRODUCTS_BYTES = 32;

let power = 1;
for (let i = 0; i < EXP.length; i++) {
  EXP[i] = power;
  if (i < 255) LOG[power] = i;
  power <<= 1;
  if (power & 0x100) power ^= 0x11d;
}

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!;
}

/** `b` is not 0. */
export function divide(a: number, b: number): number {
  return a === 0 ? 0 : EXP[LOG[a]! + 255 - LOG[b]!]!;
}

/**
 * For each coefficient 32 bytes: its products with 0 to 15 and with 0, 16, 32 to 240. A product is the sum of two of them,
 * and 16 bytes are what a SIMD shuffle looks up at once (Plank, Greenan and Miller, "Screaming Fast Galois Field Arithmetic
 * Using Intel SIMD Instructions", FAST 2013).
 */
export function writeHalfProducts(out: Uint8Array): void {
  for (let coefficient = 0; coefficient < 256; coefficient++) {
    const at = coefficient * HALF_PRODUCTS_BYTES;
    for (let half = 0; half < 16; half++) {
      out[at + half] = multiply(coefficient, half);
      out[at + 16 + half] = multiply(coefficient, half << 4);
    }
  }
}

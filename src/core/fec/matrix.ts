/**
 * The code's matrix: what a repair symbol is made of, and what a lost source symbol is made of.
 *
 * Symbols of a block are numbered from 0: k source symbols, then repair symbols up to 254. Repair symbol x is the sum over the
 * source symbols j of
 *
 *     c(x, j) = (k + j) x / ((x + j) k)
 *
 * in GF(2^8). That is a Cauchy matrix 1 / (x + j) with its columns scaled so that row k is all ones (the first repair symbol
 * is the exclusive or of the sources) and its rows scaled so that column 0 is (with k = 1 every repair symbol is a copy).
 * Scaling keeps every square submatrix invertible, so any k symbols give back the block (Blömer and others, "An XOR-based
 * erasure-resilient coding scheme", 1995). The matrix is part of the lane's wire format.
 */
import { EXP, LOG } from './gf256.ts';

/** Symbols of a block, source and repair together. */
export const MAX_SYMBOLS = 255;

/** Writes c(symbol, 0) to c(symbol, k - 1) at `at`. k is at least 1, `symbol` from k to 254. */
export function writeRepairRow(out: Uint8Array, at: number, k: number, symbol: number): void {
  const rowLog = LOG[symbol]! + 510 - LOG[k]!;
  for (let j = 0; j < k; j++) out[at + j] = EXP[rowLog + LOG[k ^ j]! - LOG[symbol ^ j]!]!;
}

/**
 * Writes, row after row, how each lost source symbol is made of k symbols that are there: k coefficients a row.
 *
 * @param symbols the k symbols that are there: `symbols[j]` is j, or at the place of a lost j the number of a repair symbol
 * @param lost numbers of the lost source symbols, one row each
 *
 * The source symbols, scaled, are values of a polynomial of degree below k at 0 to k - 1, and the repair symbols are values of
 * the same polynomial further on; what is lost is interpolated after Lagrange. All factors that belong to one symbol or to one
 * row are gathered, which leaves a Cauchy matrix again: a row costs k look-ups, and nothing has to be inverted or can fail.
 */
export function writeDecodingRows(out: Uint8Array, k: number, symbols: Uint8Array, lost: Uint8Array): void {
  const repairs = lost.map((place) => symbols[place]!);
  const symbolLogs = new Uint16Array(k);
  for (let j = 0; j < k; j++) {
    const symbol = symbols[j]!;
    const scale = symbol === j ? LOG[k ^ j]! : LOG[k]! - LOG[symbol]!;
    symbolLogs[j] = modulo255(scale + logOfDistances(symbol, lost) - logOfDistances(symbol, repairs));
  }
  for (let row = 0, at = 0; row < lost.length; row++, at += k) {
    const place = lost[row]!;
    const rowLog = 255 + modulo255(logOfDistances(place, repairs) - LOG[k ^ place]! - logOfDistances(place, lost));
    for (let j = 0; j < k; j++) out[at + j] = EXP[rowLog + symbolLogs[j]! - LOG[place ^ symbols[j]!]!]!;
  }
}

/** Logarithm of the product of the differences between `symbol` and all others of `set`: with itself it has none, and LOG[0] is 0. */
function logOfDistances(symbol: number, set: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < set.length; i++) sum += LOG[set[i]! ^ symbol]!;
  return sum;
}

function modulo255(log: number): number {
  const rest = log % 255;
  return rest < 0 ? rest + 255 : rest;
}

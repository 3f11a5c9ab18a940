/** The kernel in plain TypeScript: where there is no WebAssembly with SIMD, and what the fast one is tested against. */
import { multiply } from './gf256.ts';
import { type Kernel, ROW_BYTES } from './kernel.ts';

export function createPlainKernel(arenaBytes: number): Kernel {
  const arena = new Uint8Array(arenaBytes);
  const coefficients = new Uint8Array(2 * ROW_BYTES);

  function dotRow(row: number, output: number, input: number, strideBytes: number, count: number, bytes: number): void {
    arena.fill(0, output, output + bytes);
    for (let j = 0; j < count; j++) {
      addProduct(arena, output, input + j * strideBytes, bytes, coefficients[row * ROW_BYTES + j]!);
    }
  }

  return {
    name: 'plain',
    arena,
    coefficients,
    dot(output, input, strideBytes, count, bytes) {
      dotRow(0, output, input, strideBytes, count, bytes);
    },
    dot2(output, input, strideBytes, count, bytes) {
      dotRow(0, output, input, strideBytes, count, bytes);
      dotRow(1, output + strideBytes, input, strideBytes, count, bytes);
    },
    sum(output, input, strideBytes, count, bytes) {
      arena.fill(0, output, output + bytes);
      for (let j = 0; j < count; j++) add(arena, output, input + j * strideBytes, bytes);
    },
  };
}

function addProduct(arena: Uint8Array, output: number, input: number, bytes: number, coefficient: number): void {
  if (coefficient === 0) return;
  if (coefficient === 1) {
    add(arena, output, input, bytes);
    return;
  }
  const products = productsOf(coefficient);
  for (let i = 0; i < bytes; i++) arena[output + i]! ^= products[arena[input + i]!]!;
}

function add(arena: Uint8Array, output: number, input: number, bytes: number): void {
  for (let i = 0; i < bytes; i++) arena[output + i]! ^= arena[input + i]!;
}

function productsOf(coefficient: number): Uint8Array {
  let products = PRODUCTS[coefficient];
  if (products === undefined) {
    products = Uint8Array.from({ length: 256 }, (_, byte) => multiply(coefficient, byte));
    PRODUCTS[coefficient] = products;
  }
  return products;
}

const PRODUCTS: (Uint8Array | undefined)[] = new Array(256).fill(undefined);

/**
 * Writes src/core/fec/kernel-bytes.ts: the WebAssembly of the code's kernel, assembled by wabt from the text below. What it must
 * do says `Kernel` in src/core/fec/kernel.ts; kernel-plain.ts does the same without tricks.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import loadWabt from 'wabt';
import { KERNEL_LAYOUT, ROW_BYTES } from '../src/core/fec/kernel.ts';

export async function buildKernel(): Promise<Uint8Array> {
  const wabt = await loadWabt();
  const module = wabt.parseWat('kernel.wat', kernelText(), { simd: true, relaxed_simd: true });
  return module.toBinary({}).buffer;
}

export function kernelText(): string {
  return `(module
  (import "host" "memory" (memory 1))
  ${dot('dot', 1)}
  ${dot('dot2', 2)}
  ${dot('sum', 0)})`;
}

/** Vectors of 16 bytes that one turn of the outer loop makes of each row: their sums stay in registers. */
const VECTORS = range(4);
const { halfProducts, coefficients, arena } = KERNEL_LAYOUT;

/**
 * For each column of 64 bytes, goes once over all inputs and adds them up for `rows` outputs at once; without rows, the inputs
 * themselves. Half products are looked up by relaxed_swizzle: it differs between machines only for indices above 15, which
 * half bytes are not, and saves the clamping that swizzle needs on x86.
 */
function dot(name: string, rows: 0 | 1 | 2): string {
  const outputs = range(Math.max(rows, 1));
  const cells = outputs.flatMap((row) => VECTORS.map((vector) => ({ row, vector, sum: `$sum${row}_${vector}` })));
  return `(func (export "${name}")
    (param $output i32) (param $input i32) (param $stride i32) (param $count i32) (param $bytes i32)
    (local $column i32) (local $j i32) (local $source i32) (local $products i32)
    (local $low v128) (local $high v128) (local $mask v128)
    ${lines(range(rows).map((row) => `(local $low${row} v128) (local $high${row} v128)`))}
    ${lines(cells.map(({ sum }) => `(local ${sum} v128)`))}
    (local.set $mask (i8x16.splat (i32.const 15)))
    (loop $columns
      ${lines(cells.map(({ sum }) => `(local.set ${sum} (v128.const i64x2 0 0))`))}
      (local.set $j (i32.const 0))
      (local.set $source (i32.add (local.get $input) (local.get $column)))
      (loop $inputs
        ${lines(range(rows).map(loadHalfProducts))}
        ${lines(VECTORS.map((vector) => (rows === 0 ? addVector(vector) : addProducts(vector, rows))))}
        (local.set $source (i32.add (local.get $source) (local.get $stride)))
        (br_if $inputs (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (local.get $count))))
      ${lines(cells.map(({ row, vector, sum }) => `(v128.store offset=${arena + 16 * vector} ${outputAt(row)} (local.get ${sum}))`))}
      (br_if $columns
        (i32.lt_u (local.tee $column (i32.add (local.get $column) (i32.const ${16 * VECTORS.length}))) (local.get $bytes)))))`;
}

/** The 32 bytes of half products that belong to the j-th coefficient of a row. */
function loadHalfProducts(row: number): string {
  return `(local.set $products (i32.shl (i32.load8_u offset=${coefficients + row * ROW_BYTES} (local.get $j)) (i32.const 5)))
        (local.set $low${row} (v128.load offset=${halfProducts} (local.get $products)))
        (local.set $high${row} (v128.load offset=${halfProducts + 16} (local.get $products)))`;
}

function addVector(vector: number): string {
  return `(local.set $sum0_${vector} (v128.xor (local.get $sum0_${vector}) ${load(vector)}))`;
}

function addProducts(vector: number, rows: number): string {
  const split = `(local.set $low ${load(vector)})
        (local.set $high (i8x16.shr_u (local.get $low) (i32.const 4)))
        (local.set $low (v128.and (local.get $low) (local.get $mask)))`;
  const add = range(rows).map(
    (row) => `(local.set $sum${row}_${vector} (v128.xor (local.get $sum${row}_${vector}) (v128.xor
          (i8x16.relaxed_swizzle (local.get $low${row}) (local.get $low))
          (i8x16.relaxed_swizzle (local.get $high${row}) (local.get $high)))))`,
  );
  return lines([split, ...add]);
}

function load(vector: number): string {
  return `(v128.load offset=${arena + 16 * vector} (local.get $source))`;
}

function outputAt(row: number): string {
  const column = '(i32.add (local.get $output) (local.get $column))';
  return row === 0 ? column : `(i32.add ${column} (local.get $stride))`;
}

function lines(parts: readonly string[]): string {
  return parts.join('\n        ');
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

if (import.meta.main) {
  const bytes = await buildKernel();
  const rows =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,120}/g) ?? [];
  const text = `/** Made by tools/build-fec-kernel.ts (npm run build:fec-kernel); do not edit. ${bytes.length} bytes of WebAssembly. */
export const KERNEL_BASE64 =
${rows.map((row) => `  '${row}'`).join(' +\n')};
`;
  writeFileSync(join(import.meta.dirname, '../src/core/fec/kernel-bytes.ts'), text);
}

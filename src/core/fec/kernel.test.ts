import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../bench/figures.ts';
import { buildKernel } from '../../../tools/build-fec-kernel.ts';
import { multiply } from './gf256.ts';
import { createKernel, createSimdKernel, type Kernel, ROW_BYTES } from './kernel.ts';
import { KERNEL_BASE64 } from './kernel-bytes.ts';
import { createPlainKernel } from './kernel-plain.ts';

const ARENA_BYTES = 1 << 17;
const SEED = Number(process.env.HAWSER_SEED ?? 20);

test('the committed kernel is what its text builds', async () => {
  const built = Buffer.from(await buildKernel()).toString('base64');
  assert.ok(KERNEL_BASE64 === built, 'kernel-bytes.ts is stale: npm run build:fec-kernel');
});

test('where the machine has SIMD, that kernel is chosen', () => {
  assert.equal(createKernel(64).name, 'wasm-simd');
});

test('without WebAssembly, and with one that refuses our module, the plain kernel is chosen', (t) => {
  const host = globalThis as { WebAssembly?: unknown };
  const original = host.WebAssembly;
  t.after(() => {
    host.WebAssembly = original;
  });
  host.WebAssembly = { validate: () => false };
  assert.equal(createKernel(64).name, 'plain');
  delete host.WebAssembly;
  assert.equal(createKernel(64).name, 'plain');
});

test('a product of every coefficient with every byte is right, in every place of a vector', () => {
  for (const kernel of [simdKernel(), createPlainKernel(ARENA_BYTES)]) {
    for (let i = 0; i < 256 * 5; i++) kernel.arena[i] = (i * 77) & 255;
    for (let coefficient = 0; coefficient < 256; coefficient++) {
      kernel.coefficients[0] = coefficient;
      kernel.dot(1280, 0, 1280, 1, 1280);
      for (let i = 0; i < 1280; i++) {
        if (kernel.arena[1280 + i] !== multiply(coefficient, (i * 77) & 255)) {
          assert.fail(`${kernel.name}: ${coefficient} times byte ${i}`);
        }
      }
    }
  }
});

test(`both kernels leave the same arena behind, whatever they are asked (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const below = (limit: number) => Math.floor(random() * limit);
  const simd = simdKernel();
  const plain = createPlainKernel(ARENA_BYTES);
  for (let i = 0; i < ARENA_BYTES; i++) plain.arena[i] = below(256);
  simd.arena.set(plain.arena);
  for (let round = 0; round < 300; round++) {
    const bytes = 64 * (1 + below(20));
    const strideBytes = bytes + 16 * below(6);
    const count = 1 + below(Math.min(255, Math.floor(ARENA_BYTES / strideBytes) - 3));
    const input = below(ARENA_BYTES - (count + 2) * strideBytes);
    const output = input + count * strideBytes;
    for (let i = 0; i < 2 * ROW_BYTES; i++) plain.coefficients[i] = random() < 0.1 ? below(2) : below(256);
    simd.coefficients.set(plain.coefficients);
    const operation = (['dot', 'dot2', 'sum'] as const)[below(3)]!;
    for (const kernel of [simd, plain]) kernel[operation](output, input, strideBytes, count, bytes);
    if (Buffer.compare(simd.arena, plain.arena) !== 0) {
      assert.fail(`${operation}(${output}, ${input}, ${strideBytes}, ${count}, ${bytes}) differs in round ${round}`);
    }
  }
});

function simdKernel(): Kernel {
  const kernel = createSimdKernel(ARENA_BYTES);
  assert.ok(kernel, 'this machine has no WebAssembly SIMD');
  return kernel;
}

/**
 * Sums of symbols times coefficients: the one thing that costs time in a code over GF(2^8). A kernel works on an arena of its
 * own (WebAssembly reaches no other memory), so symbols are copied in and results out.
 */
import { writeHalfProducts } from './gf256.ts';
import { KERNEL_BASE64 } from './kernel-bytes.ts';
import { createPlainKernel } from './kernel-plain.ts';

/**
 * Addresses are offsets into the arena. Inputs lie `strideBytes` apart from `input` on; `bytes` of each are read, a multiple of
 * 64. The output must not overlap the inputs.
 */
export interface Kernel {
  readonly name: 'wasm-simd' | 'plain';
  /** Never moves: views of it stay good. */
  readonly arena: Uint8Array;
  /** Two rows of 256 bytes: what `dot` (row 0) and `dot2` multiply the inputs by. */
  readonly coefficients: Uint8Array;
  /** arena[output] = sum of the inputs times row 0. `count` is 1 to 255. */
  dot(output: number, input: number, strideBytes: number, count: number, bytes: number): void;
  /** As `dot` with row 0; and with row 1 to `strideBytes` behind `output`. A third cheaper than two calls of `dot`. */
  dot2(output: number, input: number, strideBytes: number, count: number, bytes: number): void;
  /** arena[output] = sum (exclusive or) of the inputs. */
  sum(output: number, input: number, strideBytes: number, count: number, bytes: number): void;
}

/** From one row of `Kernel.coefficients` to the next. */
export const ROW_BYTES = 256;
/** Where the kernel finds the half products of gf256.ts, the two rows of coefficients and the arena in its memory. */
export const KERNEL_LAYOUT = { halfProducts: 0, coefficients: 8192, arena: 8192 + 2 * ROW_BYTES } as const;

/** The fastest kernel that runs here. The arena's pages cost memory once they are written to. */
export function createKernel(arenaBytes: number): Kernel {
  return createSimdKernel(arenaBytes) ?? createPlainKernel(arenaBytes);
}

/** Null where there is no WebAssembly, or none with relaxed SIMD (V8 has it since 11.4, so does every Node.js we run on). */
export function createSimdKernel(arenaBytes: number): Kernel | null {
  const bytes = Uint8Array.from(atob(KERNEL_BASE64), (char) => char.charCodeAt(0));
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(bytes)) return null;
  const pages = Math.ceil((KERNEL_LAYOUT.arena + arenaBytes) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host: { memory } });
  writeHalfProducts(new Uint8Array(memory.buffer, KERNEL_LAYOUT.halfProducts, KERNEL_LAYOUT.coefficients));
  return {
    name: 'wasm-simd',
    arena: new Uint8Array(memory.buffer, KERNEL_LAYOUT.arena, arenaBytes),
    coefficients: new Uint8Array(memory.buffer, KERNEL_LAYOUT.coefficients, 2 * ROW_BYTES),
    dot: exports.dot,
    dot2: exports.dot2,
    sum: exports.sum,
  };
}

// What we need of the host, for core is compiled without any host's types. Neither is a clock, chance or a socket.
declare function atob(base64: string): string;
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  Memory: new (size: { initial: number; maximum: number }) => HostMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
    imports: { host: { memory: HostMemory } },
  ) => { readonly exports: Pick<Kernel, 'dot' | 'dot2' | 'sum'> };
};
interface HostMemory {
  readonly buffer: ArrayBuffer;
}

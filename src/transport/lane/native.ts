/**
 * Calls into the C library and into the OpenSSL that Node carries (node:ffi), for what costs several times as much through
 * Node's own modules. Null where that is not possible; whoever asks has another way then.
 *
 * Calls with pointers as bigint and at most three arguments cost about 20 ns, others some 250 ns: that, and not taste, decides
 * which of several functions of OpenSSL is called.
 */
import { endianness } from 'node:os';

export type NativeType = 'i32' | 'u32' | 'pointer' | 'string';
/** A missing pointer is 0n. */
export type NativeArgument = number | bigint | string;

export interface Native {
  /** Throws when there is no such symbol. */
  call(name: string, takes: readonly NativeType[]): (...args: NativeArgument[]) => number;
  callForPointer(name: string, takes: readonly NativeType[]): (...args: NativeArgument[]) => bigint;
  /** The event loop of this thread (uv_loop_t). */
  eventLoop(): bigint;
  addressOf(memory: ArrayBuffer): bigint;
  /** The number at an address. */
  readInt32(address: bigint): number;
}

export function native(): Native | null {
  if (loaded === undefined) loaded = load();
  return loaded;
}

/** Memory that native code is given addresses of. It is kept as long as the object is. */
export class NativeMemory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly u16: Uint16Array<ArrayBuffer>;
  readonly i32: Int32Array<ArrayBuffer>;
  readonly u32: Uint32Array<ArrayBuffer>;
  /** Address of the first byte; 0 without node:ffi. Addresses have 48 bits or a few more: a double holds them exactly. */
  readonly base: number;

  constructor(size: number) {
    const buffer = new ArrayBuffer(size);
    this.bytes = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.base = Number(native()?.addressOf(buffer) ?? 0);
  }

  pointer(offset: number): bigint {
    return BigInt(this.base + offset);
  }

  /** Stores a 64-bit number, for example an address, at an offset that is a multiple of 8. */
  setWord(offset: number, value: number): void {
    this.u32[offset >> 2] = value;
    this.u32[(offset >> 2) + 1] = value / TWO_32;
  }

  /** Stores the address of a place in this memory or in another. */
  setPointer(offset: number, to: number, memory: NativeMemory = this): void {
    this.setWord(offset, memory.base + to);
  }
}

let loaded: Native | null | undefined;

function load(): Native | null {
  // Structures are laid out below as 64-bit little-endian machines have them.
  if (process.platform === 'win32' || endianness() !== 'LE' || !WORD_64.has(process.arch)) return null;
  if (process.env.HAWSER_LANE_NATIVE === '0') return null;
  try {
    return quietly(() => {
      const ffi = process.getBuiltinModule('node:ffi');
      if (ffi === undefined || typeof ffi.getCurrentEventLoop !== 'function') return null;
      const library = new ffi.DynamicLibrary(null);
      const bind = (name: string, takes: readonly NativeType[], gives: NativeType) =>
        library.getFunction(name, { arguments: takes, return: gives } as never) as never;
      return {
        call: (name, takes) => bind(name, takes, 'i32'),
        callForPointer: (name, takes) => bind(name, takes, 'pointer'),
        eventLoop: () => ffi.getCurrentEventLoop(),
        addressOf: (memory) => ffi.getRawPointer(memory),
        readInt32: (address) => ffi.getInt32(address),
      };
    });
  } catch {
    return null;
  }
}

/** Runs `action` without the warning that node:ffi is experimental; every other warning still gets through. */
function quietly<T>(action: () => T): T {
  const emitWarning = process.emitWarning;
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (String(warning).includes('FFI') && String(rest[0]).includes('ExperimentalWarning')) return;
    Reflect.apply(emitWarning, process, [warning, ...rest]);
  }) as typeof process.emitWarning;
  try {
    return action();
  } finally {
    process.emitWarning = emitWarning;
  }
}

const TWO_32 = 2 ** 32;
const WORD_64 = new Set(['x64', 'arm64', 'riscv64', 'loong64']);

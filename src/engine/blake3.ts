/**
 * BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs, what `b3sum` prints) from native code: 5 to 6 GB/s on one core here.
 * The only file that names the library, so that another can take its place.
 */
import { Blake3Hasher } from '@napi-rs/blake-hash';

export interface Blake3 {
  update(bytes: Uint8Array): void;
  /** Of what has come so far, 32 bytes. More may come after it. */
  digest(): Uint8Array;
}

/** Digest of `bytes`, 32 bytes. */
export function blake3(bytes: Uint8Array): Uint8Array {
  // One hasher serves every call: making one costs as much as hashing 16 KiB.
  oneShot.reset();
  oneShot.update(asBuffer(bytes));
  return oneShot.digestBuffer();
}

/** The same as 64 hex digits, which is cheaper than bytes: those come as memory of their own. */
export function blake3Hex(bytes: Uint8Array): string {
  oneShot.reset();
  oneShot.update(asBuffer(bytes));
  return oneShot.digest('hex');
}

export function createBlake3(): Blake3 {
  const hasher = new Blake3Hasher();
  return {
    update: (bytes) => {
      hasher.update(asBuffer(bytes));
    },
    digest: () => hasher.digestBuffer(),
  };
}

/** The same memory as a Buffer: the native side takes no other view. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const oneShot = new Blake3Hasher();

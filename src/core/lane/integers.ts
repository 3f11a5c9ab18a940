/** Big-endian integers in byte arrays, without a DataView: the callers have checked the bounds. */

export function writeU16(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 8;
  out[at + 1] = value;
}

export function writeU24(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 16;
  out[at + 1] = value >>> 8;
  out[at + 2] = value;
}

export function writeU32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}

/** Up to 2^48 - 1, as a JavaScript number. */
export function writeU48(out: Uint8Array, at: number, value: number): void {
  writeU16(out, at, Math.floor(value / 2 ** 32));
  writeU32(out, at + 2, value % 2 ** 32);
}

export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function readU24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

export function readU48(bytes: Uint8Array, at: number): number {
  return readU16(bytes, at) * 2 ** 32 + readU32(bytes, at + 2);
}

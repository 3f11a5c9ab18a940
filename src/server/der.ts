/** As much of DER (ITU-T X.690) as a certificate needs: each function gives the bytes of one value. */

export function sequence(...members: Uint8Array[]): Buffer {
  return value(0x30, ...members);
}

export function setOf(member: Uint8Array): Buffer {
  return value(0x31, member);
}

/** `bytes`: big-endian, not negative. */
export function integer(bytes: Uint8Array): Buffer {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const body = bytes.subarray(from);
  return value(0x02, ...((body[0] ?? 0) >= 0x80 ? [Buffer.of(0), body] : [body]));
}

export function boolean(truth: boolean): Buffer {
  return value(0x01, Buffer.of(truth ? 0xff : 0));
}

/** Whole bytes, or `unused` bits fewer. */
export function bitString(bytes: Uint8Array, unused = 0): Buffer {
  return value(0x03, Buffer.of(unused), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return value(0x04, bytes);
}

export function utf8(text: string): Buffer {
  return value(0x0c, Buffer.from(text));
}

/** "1.2.840.10045.4.3.2" */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return value(0x06, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

/** UTCTime up to 2049 and GeneralizedTime from 2050, as RFC 5280 section 4.1.2.5 wants. */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\.\d+/, '').replace(/[-:T]/g, '');
  return new Date(ms).getUTCFullYear() < 2050 ? value(0x17, Buffer.from(digits.slice(2))) : value(0x18, Buffer.from(digits));
}

/** Context-specific tag: `constructed` holds other values, else bytes. */
export function tagged(tag: number, constructed: boolean, body: Uint8Array): Buffer {
  return value(0x80 | (constructed ? 0x20 : 0) | tag, body);
}

function value(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  const shortest = length.subarray(length.findIndex((byte) => byte !== 0));
  return Buffer.concat([Buffer.of(tag, 0x80 | shortest.length), shortest, body]);
}

function base128(number: number): number[] {
  const digits = [number & 0x7f];
  for (let rest = number >>> 7; rest > 0; rest >>>= 7) digits.unshift((rest & 0x7f) | 0x80);
  return digits;
}

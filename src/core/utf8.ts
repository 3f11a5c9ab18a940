/**
 * Bytes of a name to text and back, losing nothing: UTF-8 as RFC 3629 has it, and every byte that is not part of it as the
 * lone surrogate U+DC80 to U+DCFF (PEP 383, "surrogateescape"). Written by hand because core has no TextDecoder, and because
 * the platform's replaces what it cannot read.
 */
import { HawserError } from './errors.ts';

/** Total: every sequence of bytes has a text, and different bytes have different texts. */
export function decodeUtf8(bytes: Uint8Array): string {
  let ascii = 0;
  while (ascii < bytes.length && bytes[ascii]! < 0x80) ascii++;
  if (ascii === bytes.length) return fromCodeUnits(bytes);
  // Never more code units than bytes.
  const units = new Uint16Array(bytes.length);
  units.set(bytes.subarray(0, ascii));
  let length = ascii;
  for (let at = ascii; at < bytes.length; ) {
    const first = bytes[at]!;
    const size = sequenceBytes(bytes, at);
    if (size === 0) {
      units[length++] = 0xdc00 + first;
      at++;
    } else if (size === 1) {
      units[length++] = first;
      at++;
    } else {
      let point = first & (0x7f >> size);
      for (let i = 1; i < size; i++) point = (point << 6) | (bytes[at + i]! & 0x3f);
      if (point > 0xffff) {
        units[length++] = 0xd800 + ((point - 0x10000) >> 10);
        units[length++] = 0xdc00 + (point & 0x3ff);
      } else {
        units[length++] = point;
      }
      at += size;
    }
  }
  return fromCodeUnits(units.subarray(0, length));
}

/** Opposite of decodeUtf8. `path_invalid` for a lone surrogate that stands for no byte. */
export function encodeUtf8(text: string): Uint8Array {
  const ascii = new Uint8Array(text.length);
  let at = 0;
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit >= 0x80) break;
    ascii[at] = unit;
  }
  if (at === text.length) return ascii;
  // At most three bytes for each code unit: a pair takes four for two.
  const bytes = new Uint8Array(at + 3 * (text.length - at));
  bytes.set(ascii.subarray(0, at));
  let length = at;
  for (; at < text.length; at++) {
    const point = text.codePointAt(at)!;
    if (point < 0x80) {
      bytes[length++] = point;
    } else if (point < 0x800) {
      bytes[length++] = 0xc0 | (point >> 6);
      bytes[length++] = 0x80 | (point & 0x3f);
    } else if (point > 0xffff) {
      bytes[length++] = 0xf0 | (point >> 18);
      bytes[length++] = 0x80 | ((point >> 12) & 0x3f);
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[length++] = 0x80 | (point & 0x3f);
      at++;
    } else if (point < 0xd800 || point > 0xdfff) {
      bytes[length++] = 0xe0 | (point >> 12);
      bytes[length++] = 0x80 | ((point >> 6) & 0x3f);
      bytes[length++] = 0x80 | (point & 0x3f);
    } else if (point >= 0xdc80 && point <= 0xdcff) {
      bytes[length++] = point - 0xdc00;
    } else {
      throw new HawserError(
        'path_invalid',
        `The name holds the lone surrogate U+${point.toString(16).toUpperCase()}, which stands for no byte: use U+DC80 to U+DCFF for bytes 0x80 to 0xFF.`,
        { value: `U+${point.toString(16).toUpperCase()}` },
      );
    }
  }
  return bytes.subarray(0, length);
}

/** Length of the well-formed sequence at `at`, 0 when there is none (RFC 3629 section 4: no overlong form, no surrogate, none above U+10FFFF). */
function sequenceBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + size > bytes.length) return 0;
  const second = bytes[at + 1]!;
  const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let i = 2; i < size; i++) {
    if ((bytes[at + i]! & 0xc0) !== 0x80) return 0;
  }
  return size;
}

function fromCodeUnits(units: Uint8Array | Uint16Array): string {
  if (units.length <= APPLY_LIMIT) return String.fromCharCode.apply(null, units as unknown as number[]);
  let text = '';
  for (let at = 0; at < units.length; at += APPLY_LIMIT) {
    text += String.fromCharCode.apply(null, units.subarray(at, at + APPLY_LIMIT) as unknown as number[]);
  }
  return text;
}

/** Arguments of one call; engines allow far more, and names are shorter. */
const APPLY_LIMIT = 8192;

/**
 * Remote paths: the one place that decides what a path is (docs/protocol/http.md, "Paths").
 *
 * Inside Hawser a path is a string "/a/b" that went through parsePath once: absolute, no empty name, no "." or "..", no NUL,
 * each name 1 to 255 bytes, 4096 bytes in all, not inside "/.hawser". "/" is the root. Two such strings are equal exactly when
 * their bytes are. Bytes that are no UTF-8 appear as U+DC80 to U+DCFF (see utf8.ts).
 */
import { HawserError } from './errors.ts';
import { decodeUtf8, encodeUtf8 } from './utf8.ts';

export const MAX_PATH_BYTES = 4096;
export const MAX_NAME_BYTES = 255;
/** The folder in the root that holds Hawser's own state. */
export const RESERVED_NAME = '.hawser';

/**
 * A path from outside, checked and in its one form. Repeated and trailing slashes are dropped, as POSIX does.
 * `path_invalid` for what is not a path, `path_reserved` for Hawser's own folder.
 *
 * @example parsePath('/incoming//a.mxf/') // '/incoming/a.mxf'
 */
export function parsePath(raw: string): string {
  // As it is: names in a string that was put together anew cost ten times as much, here and wherever it is written.
  if (raw.length <= MAX_PATH_BYTES && PLAIN.test(raw)) return raw;
  if (raw.length > 2 * MAX_PATH_BYTES) throw invalid(raw, `is longer than ${MAX_PATH_BYTES} bytes`, 'shorten it');
  if (raw.charCodeAt(0) !== SLASH) throw invalid(raw, 'does not start with "/"', 'give the whole path from "/"');
  if (raw.includes('\0')) throw invalid(raw, 'contains a NUL character', 'give the path without it');
  // Escaped bytes that together are UTF-8 would be a second spelling of the same path, so they are joined first.
  const spelled = isPlainUtf8(raw) ? raw : decodeUtf8(encodeUtf8(raw));
  let path = '';
  for (const name of spelled.split('/')) {
    if (name === '') continue;
    if (name === '.' || name === '..') throw invalid(raw, `contains "${name}"`, 'give the path without it');
    if (utf8Bytes(name) > MAX_NAME_BYTES) throw invalid(raw, `has a name longer than ${MAX_NAME_BYTES} bytes`, 'shorten it');
    if (path === '' && isReservedName(name)) {
      throw new HawserError('path_reserved', `The path ${quote(raw)} is reserved for Hawser itself: choose another.`, {
        value: raw,
      });
    }
    path += `/${name}`;
  }
  if (path === '') return '/';
  if (utf8Bytes(path) > MAX_PATH_BYTES) throw invalid(raw, `is longer than ${MAX_PATH_BYTES} bytes`, 'shorten it');
  return path;
}

/** The text of a path's bytes. Not yet checked: parsePath does that. */
export function pathFromBytes(bytes: Uint8Array): string {
  return decodeUtf8(bytes);
}

/** The bytes of a path, as the file system and the wire have them. `path_invalid` for a surrogate that stands for no byte. */
export function pathToBytes(path: string): Uint8Array {
  return encodeUtf8(path);
}

/** For a URL: every byte but letters, digits, "-", ".", "_", "~" (RFC 3986 section 2.3) and "/" becomes %XX. */
export function pathToUrl(path: string): string {
  if (/^[A-Za-z0-9\-._~/]*$/.test(path)) return path;
  let url = '';
  for (const byte of encodeUtf8(path)) url += URL_BYTES[byte];
  return url;
}

/**
 * The path in a URL, still encoded and without query, with or without its leading slash; then parsePath's rules.
 * An encoded slash or NUL, and "%" without two hex digits, are `path_invalid`.
 */
export function pathFromUrl(encoded: string): string {
  const rooted = encoded.charCodeAt(0) === SLASH ? encoded : `/${encoded}`;
  if (!rooted.includes('%')) return parsePath(rooted);
  if (rooted.length > 3 * MAX_PATH_BYTES) throw invalid(encoded, `is longer than ${MAX_PATH_BYTES} bytes`, 'shorten it');
  const bytes = encodeUtf8(rooted);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    let byte = bytes[at]!;
    if (byte === PERCENT) {
      byte = hexPair(bytes[at + 1], bytes[at + 2]);
      if (byte < 0) throw invalid(encoded, 'has a "%" without two hex digits', 'write "%" as "%25"');
      if (byte === SLASH || byte === 0) throw invalid(encoded, 'has an encoded slash or NUL', 'no name can hold either');
      at += 2;
    }
    bytes[length++] = byte;
  }
  return parsePath(decodeUtf8(bytes.subarray(0, length)));
}

/** `name` (one name, or several "a/b") below `base`; checked like parsePath. */
export function joinPath(base: string, name: string): string {
  return parsePath(`${base}/${name}`);
}

/** The folder that holds it; the root's is the root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/** The last name; "" for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** True for the ancestor itself and everything below it. */
export function isWithin(path: string, ancestor: string): boolean {
  if (ancestor === '/' || path === ancestor) return true;
  return path.startsWith(ancestor) && path.charCodeAt(ancestor.length) === SLASH;
}

/** Order of the bytes, which is not the order of JavaScript strings above U+D7FF. Negative, 0 or positive. */
export function comparePaths(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    const unitA = a.charCodeAt(i);
    const unitB = b.charCodeAt(i);
    if (unitA === unitB) continue;
    if (unitA < 0xd800 && unitB < 0xd800) return unitA - unitB;
    return compareBytes(encodeUtf8(a), encodeUtf8(b));
  }
  return a.length - b.length;
}

/**
 * A path as a key for databases that take well-formed UTF-8 only: "%" becomes %25 and an escaped byte its %XX, all else is
 * unchanged. Different paths have different keys, and a key starts with the key of the path's parent.
 */
export function pathKey(path: string): string {
  if (!path.includes('%') && isPlainUtf8(path)) return path;
  return path.replace(/[%\udc80-\udcff]/gu, (found) => URL_BYTES[found.charCodeAt(0) & 0xff]!);
}

/** Opposite of pathKey. `path_invalid` for what pathKey never gives. */
export function pathFromKey(key: string): string {
  if (!key.includes('%')) return key;
  return key.replace(/%([0-9A-F]{2})?/g, (_, hex: string | undefined) => {
    const byte = hex === undefined ? -1 : Number.parseInt(hex, 16);
    if (byte === PERCENT) return '%';
    if (byte >= 0x80) return String.fromCharCode(0xdc00 + byte);
    throw invalid(key, 'is no path key', 'it was written by something else than Hawser');
  });
}

/** False when some bytes of the path are not UTF-8. */
export function isPlainUtf8(path: string): boolean {
  return !/[\ud800-\udfff]/u.test(path);
}

/**
 * True for ".hawser" in any case: a file system that ignores case (and folds U+017F to "s", as APFS does) would open Hawser's
 * own folder by it.
 */
function isReservedName(name: string): boolean {
  if (name.length !== RESERVED_NAME.length || name.charCodeAt(0) !== DOT) return false;
  return name.normalize('NFKC').toLowerCase() === RESERVED_NAME;
}

/** Bytes that encodeUtf8 would give, counted without allocating. A lone surrogate is one byte, whichever it is. */
function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit < 0xd800 || unit > 0xdfff) bytes += 2;
    else if (text.codePointAt(i)! > 0xffff) {
      bytes += 2;
      i++;
    }
  }
  return bytes;
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
}

function hexPair(high: number | undefined, low: number | undefined): number {
  const value = hexDigit(high) * 16 + hexDigit(low);
  return Number.isNaN(value) ? -1 : value;
}

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return Number.NaN;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : Number.NaN;
}

function invalid(raw: string, what: string, advice: string): HawserError {
  return new HawserError('path_invalid', `The path ${quote(raw)} ${what}: ${advice}.`, { value: raw.slice(0, 1024) });
}

/** JSON escapes what would move a terminal's cursor; a long path is cut. */
function quote(raw: string): string {
  return JSON.stringify(raw.length > 200 ? `${raw.slice(0, 200)}…` : raw);
}

/** Paths that are in their one form: ASCII, no name "." or "..", and none at the top that begins with a dot, which may be reserved. */
const PLAIN = /^(?!\/\.)(?:\/(?!\.\.?(?:\/|$))[\x01-\x2e\x30-\x7f]{1,255})+$/;
const SLASH = 0x2f;
const PERCENT = 0x25;
const DOT = 0x2e;

/** How each byte is written in a URL. */
const URL_BYTES: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  return /[A-Za-z0-9\-._~/]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
});

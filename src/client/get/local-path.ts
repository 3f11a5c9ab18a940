/**
 * Local paths that remote names are turned into, byte for byte: a name that is not plain UTF-8 makes the path a Buffer.
 * Every remote name passes `checkName` before it becomes part of a local path, because a server may be hostile.
 */
import { HawserError } from '../../core/errors.ts';
import { toHex } from '../../core/hex.ts';
import { isPlainUtf8, pathToBytes } from '../../core/path.ts';
import { blake3 } from '../../engine/blake3.ts';
import { joinLocal as join, type LocalPath, showLocal } from '../put/local.ts';

export { type LocalPath, showLocal };

/** `folder/name`. The remote name must have passed `checkName`. */
export function joinLocal(folder: LocalPath, name: string): LocalPath {
  return join(folder, isPlainUtf8(name) ? name : Buffer.from(pathToBytes(name)));
}

/**
 * Refuses what must not become one segment of a local path: "..", separators, NUL, names that this platform reads otherwise,
 * and the names of our own partial files (a server that could write those could change a file after it was verified).
 */
export function checkName(name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) throw invalid(name);
  if (pathToBytes(name).length > MAX_NAME_BYTES) throw invalid(name);
  if (process.platform === 'win32' && WINDOWS_UNSAFE.test(name)) throw invalid(name);
  if (PARTIAL_NAME.test(name)) {
    throw new HawserError(
      'path_reserved',
      `The name "${name}" is kept for partly fetched files: rename it on the server, or exclude it.`,
      { value: name },
    );
  }
  return name;
}

export interface PartialNames {
  /** The content, in place as far as it has come. */
  readonly partial: LocalPath;
  /** What of it is safe. */
  readonly state: LocalPath;
  readonly stateNext: LocalPath;
  /** Who writes to it. */
  readonly lock: LocalPath;
}

/** Beside the final name, so that the last step is a rename; cut with a hash where the name would grow past 255 bytes. */
export function partialNames(folder: LocalPath, name: string): PartialNames {
  const bytes = pathToBytes(name);
  const stem =
    bytes.length <= MAX_STEM_BYTES
      ? Buffer.from(bytes)
      : Buffer.concat([cutUtf8(bytes, MAX_STEM_BYTES - 17), Buffer.from(`-${toHex(blake3(bytes)).slice(0, 16)}`)]);
  const plain = isPlainUtf8(name) ? stem.toString('utf8') : null;
  const at = (suffix: string): LocalPath =>
    join(folder, plain === null ? Buffer.concat([DOT, stem, Buffer.from(suffix)]) : `.${plain}${suffix}`);
  return {
    partial: at(PARTIAL_SUFFIX),
    state: at(`${PARTIAL_SUFFIX}.state`),
    stateNext: at(`${PARTIAL_SUFFIX}.state.next`),
    lock: at(`${PARTIAL_SUFFIX}.lock`),
  };
}

/** Not in the middle of a character, where the bytes are UTF-8. */
function cutUtf8(bytes: Uint8Array, length: number): Buffer {
  let end = length;
  while (end > length - 4 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return Buffer.from(bytes.subarray(0, end));
}

function invalid(name: string): HawserError {
  return new HawserError(
    'path_invalid',
    `The server listed the name "${name}", which cannot be a local file name: rename it there.`,
    {
      value: name,
    },
  );
}

const DOT = Buffer.from('.');
const PARTIAL_SUFFIX = '.hawser-partial';
const PARTIAL_NAME = /^\..*\.hawser-partial(\.state(\.next)?|\.lock)?$/s;
const WINDOWS_UNSAFE = /[\\:*?"<>|\x00-\x1f]|[. ]$/;
const MAX_NAME_BYTES = 255;
/** Leaves room for the dot and the longest suffix. */
const MAX_STEM_BYTES = MAX_NAME_BYTES - 1 - `${PARTIAL_SUFFIX}.state.next`.length;

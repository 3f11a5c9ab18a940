/**
 * The border between what is served and everything else, as plain data (it travels to the worker threads), and the questions
 * that can be answered about it without asking the file system. folder.ts asks the file system.
 *
 * Real paths are kept as "byte text": one character for each byte (latin1), so that names of any bytes compare exactly.
 */
import { Buffer, isUtf8 } from 'node:buffer';
import { closeSync, constants, openSync, type PathLike, readlinkSync, realpathSync, statSync } from 'node:fs';
import { isPlainUtf8, isWithin, pathFromBytes, pathToBytes } from '../../core/path.ts';
import { escapes, reserved } from './refusals.ts';

export interface Border {
  /** Real path of the served folder, as byte text. */
  readonly root: string;
  /** Real path of the state folder: out of reach, by whatever way. */
  readonly state: string;
  readonly stateDevice: bigint;
  readonly stateInode: bigint;
  /**
   * An open folder can be used by its descriptor (/proc/self/fd, Linux), so that nothing happens between the check of where
   * a folder really is and its use. Elsewhere the real path is used, which leaves that gap.
   */
  readonly anchored: boolean;
  /** The process's umask: what it takes away is put back with chmod. */
  readonly umask: number;
}

/**
 * Both folders have to be there. (realpathSync without `native` resolves "link/.." by its words, which is wrong, and takes no
 * bytes; it is not used anywhere here.)
 */
export function borderOf(root: string, state: string): Border {
  const stats = statSync(state, { bigint: true });
  return {
    root: realpathSync.native(root, { encoding: 'buffer' }).toString('latin1'),
    state: realpathSync.native(state, { encoding: 'buffer' }).toString('latin1'),
    stateDevice: stats.dev,
    stateInode: stats.ino,
    anchored: canAnchor(root),
    umask: process.umask(),
  };
}

/** Throws unless the real path is one that may be served. */
export function assertServed(border: Border, real: string, path: string): void {
  if (!isWithin(real, border.root)) {
    throw escapes(path);
  }
  if (isWithin(real, border.state)) throw reserved(path);
}

/** Throws when this is the state folder itself, under whatever name it was found (a bind mount, another case). */
export function assertNotState(border: Border, stats: { dev: bigint; ino: bigint }, path: string): void {
  if (isState(border, stats)) throw reserved(path);
}

export function isState(border: Border, stats: { dev: bigint; ino: bigint }): boolean {
  return stats.ino === border.stateInode && stats.dev === border.stateDevice;
}

/** How many folders below the root a folder really lies. */
export function depthOf(border: Border, folderReal: string): number {
  return folderReal.slice(border.root.length).split('/').filter(Boolean).length;
}

/** The path of the root or below it as the operating system takes it. Links in it are not resolved. */
export function systemPath(border: Border, path: string): PathLike {
  return path === '/' ? join(border.root, '') : join(border.root, path.slice(1));
}

/** How an open folder and the names in it are given to the operating system. */
export function namesIn(border: Border, fd: number, real: string): { self: PathLike; child: (name: string) => PathLike } {
  const base = border.anchored ? `/proc/self/fd/${fd}` : real;
  return { self: join(base, ''), child: (name) => join(base, name) };
}

/** The text of a name or target that came from the file system. */
export function textOf(bytes: Buffer): string {
  return isUtf8(bytes) ? bytes.toString('utf8') : pathFromBytes(bytes);
}

/** Real path of a child that is not a link. */
export function childReal(folderReal: string, name: string): string {
  return `${folderReal === '/' ? '' : folderReal}/${Buffer.from(pathToBytes(name)).toString('latin1')}`;
}

/** A folder as byte text and a name in it, as text where that says the same and else as bytes. */
function join(base: string, name: string): PathLike {
  const slash = name === '' || base === '/' ? '' : '/';
  if (isPlainUtf8(name) && isAscii(base)) return `${base}${slash}${name}`;
  return Buffer.concat([Buffer.from(base + slash, 'latin1'), pathToBytes(name)]);
}

function isAscii(byteText: string): boolean {
  return !/[^\0-\x7f]/.test(byteText);
}

function canAnchor(root: string): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const fd = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const real = realpathSync.native(root, { encoding: 'buffer' });
      return readlinkSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).equals(real);
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

/** open(2); Node does not name it. The same on every architecture that Node runs on. */
export const O_PATH = 0o10000000;

/**
 * The store's calls of the C library (node:ffi; the lane has others, in src/transport/lane/native.ts): what Node's own `fs` cannot
 * do exactly. It is loaded on first use, and everything here has a fallback, so a Node without node:ffi, another libc or another
 * system only loses exactness or speed.
 */
import { Buffer } from 'node:buffer';
import { futimesSync, lutimesSync, type PathLike } from 'node:fs';

/**
 * Sets the modification time of an open file to the nanosecond (futimens(2)). Where that cannot be called, Node's futimes is
 * used, which takes a double and so is up to 250 ns off. Throws like `fs`.
 */
export function setTimesExactly(fd: number, mtimeNs: bigint): void {
  const futimens = native().futimens;
  if (futimens !== null && futimens(fd, timespecs(mtimeNs)) === 0) return;
  const seconds = Number(mtimeNs) / 1e9;
  futimesSync(fd, seconds, seconds);
}

/** The same for a link itself, never for what it points to. */
export function setLinkTimesExactly(path: PathLike, mtimeNs: bigint): void {
  const utimensat = native().utimensat;
  if (utimensat !== null && utimensat(AT_FDCWD, cString(path), timespecs(mtimeNs), AT_SYMLINK_NOFOLLOW) === 0) return;
  const seconds = Number(mtimeNs) / 1e9;
  lutimesSync(path, seconds, seconds);
}

/** Syncs the whole file system that `fd` lies on (syncfs(2), Linux). False when that is not possible or failed. */
export function syncFileSystem(fd: number): boolean {
  const syncfs = native().syncfs;
  return syncfs !== null && syncfs(fd) === 0;
}

/** True when `syncFileSystem` can be expected to work. */
export function canSyncFileSystem(): boolean {
  return native().syncfs !== null;
}

/**
 * Renames unless the new name is taken, in one step (renameat2(2) with RENAME_NOREPLACE, Linux). False when it did not happen,
 * for whatever reason: the caller finds out why.
 */
export function renameWithoutReplacing(from: PathLike, to: PathLike): boolean {
  const renameat2 = native().renameat2;
  return renameat2 !== null && renameat2(AT_FDCWD, cString(from), AT_FDCWD, cString(to), RENAME_NOREPLACE) === 0;
}

/**
 * Renames a name in one open folder to a name in another (renameat(2)), which costs half of what paths cost. False when it did
 * not happen, for whatever reason: the caller tries it by path, or finds out why. Names are plain UTF-8.
 */
export function renameBetween(fromFolder: number, from: string, toFolder: number, to: string): boolean {
  const renameat = native().renameat;
  return renameat !== null && renameat(fromFolder, from, toFolder, to) === 0;
}

/**
 * Gives a file that was opened without a name (open(2), O_TMPFILE) one in an open folder, in one step and never over another
 * (linkat(2) with AT_EMPTY_PATH, Linux). False when it did not happen, for whatever reason. The name is plain UTF-8.
 */
export function linkUnnamed(fd: number, folder: number, name: string): boolean {
  const linkat = native().linkat;
  return linkat !== null && linkat(fd, '', folder, name, AT_EMPTY_PATH) === 0;
}

/** True when `linkUnnamed` can be called; the kernel and the file system may still refuse. */
export function canLinkUnnamed(): boolean {
  return native().linkat !== null;
}

/**
 * Makes room for so many descriptors at once (fcntl(2) with F_DUPFD, Linux). By itself the table of a process doubles as it fills,
 * and each time the kernel waits, 5 to 20 ms in a process with threads, until nobody can be looking at the old one.
 */
export function reserveDescriptors(most: number, openFd: number): void {
  const fcntl = native().fcntl;
  const highest = fcntl?.(openFd, F_DUPFD_CLOEXEC, most - 1) ?? -1;
  // Where so many are not allowed, the table stays as it is.
  if (highest >= 0) native().close?.(highest);
}

interface Native {
  readonly close: ((fd: number) => number) | null;
  readonly fcntl: ((fd: number, command: number, argument: number) => number) | null;
  readonly linkat: ((fd: number, from: string, folder: number, to: string, flags: number) => number) | null;
  readonly renameat: ((fromFolder: number, from: string, toFolder: number, to: string) => number) | null;
  readonly futimens: ((fd: number, times: Buffer) => number) | null;
  readonly utimensat: ((folder: number, path: Buffer, times: Buffer, flags: number) => number) | null;
  readonly syncfs: ((fd: number) => number) | null;
  readonly renameat2: ((fromFolder: number, from: Buffer, toFolder: number, to: Buffer, flags: number) => number) | null;
}

let loaded: Native | null = null;

function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  const none: Native = {
    close: null,
    fcntl: null,
    linkat: null,
    renameat: null,
    futimens: null,
    utimensat: null,
    syncfs: null,
    renameat2: null,
  };
  const linux = process.platform === 'linux';
  // struct timespec is two 64-bit numbers only on 64-bit machines.
  if (!(linux || process.platform === 'darwin') || !WORD_64.has(process.arch)) return none;
  try {
    const ffi = quietly(() => process.getBuiltinModule('node:ffi'));
    if (ffi === undefined) return none;
    const library = quietly(() => new ffi.DynamicLibrary(null));
    const bind = <T>(name: string, args: readonly string[]): T | null => {
      try {
        // The bindings are checked where they are called: the argument lists below are those of the manual pages.
        return library.getFunction(name, { arguments: args, return: 'i32' } as never) as unknown as T;
      } catch {
        return null;
      }
    };
    return {
      close: linux ? bind('close', ['i32']) : null,
      fcntl: linux ? bind('fcntl', ['i32', 'i32', 'i32']) : null,
      linkat: linux ? bind('linkat', ['i32', 'string', 'i32', 'string', 'i32']) : null,
      renameat: bind('renameat', ['i32', 'string', 'i32', 'string']),
      futimens: bind('futimens', ['i32', 'buffer']),
      utimensat: linux ? bind('utimensat', ['i32', 'buffer', 'buffer', 'i32']) : null,
      syncfs: linux ? bind('syncfs', ['i32']) : null,
      renameat2: linux ? bind('renameat2', ['i32', 'buffer', 'i32', 'buffer', 'u32']) : null,
    };
  } catch {
    return none;
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

/** Two struct timespec, access and modification time alike. The buffer is reused: calls are synchronous. */
function timespecs(mtimeNs: bigint): Buffer {
  const remainder = mtimeNs % SECOND_NS;
  const nanoseconds = remainder < 0n ? remainder + SECOND_NS : remainder;
  TIMES[0] = TIMES[2] = (mtimeNs - nanoseconds) / SECOND_NS;
  TIMES[1] = TIMES[3] = nanoseconds;
  return TIMES_BYTES;
}

function cString(path: PathLike): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : Buffer.from(path as Buffer);
  return Buffer.concat([bytes, NUL]);
}

const SECOND_NS = 1_000_000_000n;
const TIMES = new BigInt64Array(4);
const TIMES_BYTES = Buffer.from(TIMES.buffer);
const NUL = Buffer.alloc(1);
const WORD_64 = new Set(['x64', 'arm64', 'riscv64', 'ppc64', 's390x', 'loong64']);
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const RENAME_NOREPLACE = 1;
const F_DUPFD_CLOEXEC = 1030;

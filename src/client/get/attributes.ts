/**
 * Mode and mtime of what was fetched, and the question whether a local file is the remote one already.
 *
 * Times are set to the nanosecond where the system can be asked to; Node's own calls take a double of seconds, which is off by
 * up to a quarter of a microsecond. Times that differ by no more than a microsecond are therefore taken as equal.
 */
import { type BigIntStats, closeSync, constants, fchmodSync, lstatSync, openSync } from 'node:fs';
import type { Overwrite } from '../../store/files/contract.ts';
import { setTimesExactly } from '../../store/files/native.ts';
import { localError } from './local-error.ts';
import type { LocalPath } from './local-path.ts';

export interface Attributes {
  readonly mode: number;
  readonly mtimeNs: bigint;
}

/** Permission bits only: set-id and sticky bits of a server are never taken over. */
export function setFileAttributes(fd: number, { mode, mtimeNs }: Attributes): void {
  fchmodSync(fd, mode & 0o777);
  setTimesExactly(fd, mtimeNs);
}

export function setFolderAttributes(path: LocalPath, attributes: Attributes): void {
  try {
    const fd = openSync(path, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0) | (constants.O_NOFOLLOW ?? 0));
    try {
      setFileAttributes(fd, attributes);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw localError(error, path, 'be given its mode and time');
  }
}

/** What is at a path now, links not followed; null when nothing is. */
export function lookAt(path: LocalPath): BigIntStats | null {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false }) ?? null;
  } catch (error) {
    throw localError(error, path, 'be looked at');
  }
}

/** Says of a file that is here with this time that the user does not want it replaced. */
export type Kept = (mtimeNs: bigint, remote: { readonly mtimeNs: bigint }) => boolean;

export function keptBy(overwrite: Overwrite | undefined): Kept {
  if (overwrite === 'never') return () => true;
  if (overwrite === 'newer') return (here, { mtimeNs }) => mtimeNs <= here || sameTime(mtimeNs, here);
  return () => false;
}

export function sameTime(a: bigint, b: bigint): boolean {
  return a - b <= TIME_STEP_NS && b - a <= TIME_STEP_NS;
}

/** Names this content on this machine until it changes: the key of the digest cache. */
export function contentKey({ dev, ino, size, mtimeNs }: Pick<BigIntStats, 'dev' | 'ino' | 'size' | 'mtimeNs'>): string {
  return `${dev}:${ino}:${size}:${mtimeNs}`;
}

const TIME_STEP_NS = 1000n;

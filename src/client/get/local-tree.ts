/**
 * The local folder tree that a fetch writes into. Below its trunk no symbolic link is ever followed: each folder on the way is
 * looked at before anything is put in it, so that neither an old link nor one that the server sent can lead writes elsewhere.
 *
 * The trunk itself is what the user named, and may well be a link.
 */
import { chmodSync, lstatSync, mkdirSync, type Stats } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { isErrno, localError } from './local-error.ts';
import { checkName, joinLocal, type LocalPath, showLocal } from './local-path.ts';

export interface LocalTree {
  /** The folder with these names below the trunk; it and its parents are made when missing. */
  folderAt(names: readonly string[]): LocalPath;
  /** Where the file (or link) with these names belongs; its folder is made when missing. */
  fileAt(names: readonly string[]): { folder: LocalPath; name: string; path: LocalPath };
}

/** `folderMode`: of folders that are made, until their own mode is set when they are complete. */
export function createLocalTree(trunk: string, folderMode: number): LocalTree {
  const seen = new Set<string>();

  const folderAt = (names: readonly string[]): LocalPath => {
    let at: LocalPath = trunk;
    let key = '';
    for (const name of names) {
      at = joinLocal(at, checkName(name));
      key += `/${name}`;
      if (seen.has(key)) continue;
      enterFolder(at, folderMode);
      if (seen.size >= MAX_SEEN) seen.clear();
      seen.add(key);
    }
    return at;
  };

  return {
    folderAt,
    fileAt: (names) => {
      const name = checkName(names.at(-1) ?? '');
      const folder = folderAt(names.slice(0, -1));
      return { folder, name, path: joinLocal(folder, name) };
    },
  };
}

function enterFolder(path: LocalPath, mode: number): void {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false }) ?? makeFolder(path, mode);
    if (!stats) return;
    if (stats.isSymbolicLink()) {
      throw new HawserError(
        'local_io',
        `"${showLocal(path)}" is a symbolic link where a folder has to be, and is not written through: move it away.`,
        { value: showLocal(path) },
      );
    }
    if (!stats.isDirectory()) {
      throw new HawserError('local_io', `"${showLocal(path)}" is a file where a folder has to be: move it away.`, {
        value: showLocal(path),
      });
    }
    // A folder that an earlier run completed may be read-only; its own mode comes back when it is complete again.
    if ((stats.mode & 0o300) !== 0o300 && stats.uid === process.getuid?.()) chmodSync(path, (stats.mode & 0o777) | 0o700);
  } catch (error) {
    throw localError(error, path, 'be made');
  }
}

function makeFolder(path: LocalPath, mode: number): Stats | null {
  try {
    mkdirSync(path, { mode });
    return null;
  } catch (error) {
    // Somebody else made it in between: it is looked at like any other.
    if (isErrno(error, 'EEXIST')) return lstatSync(path);
    throw error;
  }
}

/** Bounds memory: a folder that was forgotten is simply looked at again. */
const MAX_SEEN = 4096;

/** The last step of a file: from its partial name to its own. */
import { closeSync, constants, fsyncSync, openSync, renameSync } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { lookAt } from './attributes.ts';
import { isErrno, localError } from './local-error.ts';
import { type LocalPath, showLocal } from './local-path.ts';

/** A rename replaces files and links in one step. It would replace devices and pipes too, so those are looked for. */
export function putInPlace(partial: LocalPath, path: LocalPath): void {
  const there = lookAt(path);
  if (there && !there.isFile() && !there.isSymbolicLink()) {
    const what = there.isDirectory() ? 'a folder' : 'no plain file';
    const shown = showLocal(path);
    throw new HawserError('local_io', `"${shown}" is ${what} and is not replaced: move it away, or choose another destination.`, {
      value: shown,
    });
  }
  try {
    renameSync(partial, path);
  } catch (error) {
    throw localError(error, path, 'be written');
  }
}

/** Makes the names that were given and taken in a folder survive a crash, where the system has a way to. */
export function syncFolder(folder: LocalPath): void {
  if (process.platform === 'win32') return;
  try {
    const fd = openSync(folder, constants.O_RDONLY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // Some network file systems refuse it: they keep names in their own way.
    if (!isErrno(error, 'EINVAL', 'ENOTSUP', 'EACCES')) throw localError(error, folder, 'be written');
  }
}

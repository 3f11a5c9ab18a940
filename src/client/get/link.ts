/** Symbolic links: recreated only when what they point to lies inside the tree that is being fetched. */
import { lstatSync, readlinkSync, renameSync, symlinkSync, unlinkSync } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { pathToBytes } from '../../core/path.ts';
import { setLinkTimesExactly } from '../../store/files/native.ts';
import { isErrno, localError } from './local-error.ts';
import { type LocalPath, partialNames } from './local-path.ts';

/**
 * Throws link_escapes unless `target` is relative, climbs at most `depth` folders, and climbs only at its start. (After a
 * name, ".." would leave the folder that the name really is, which a link elsewhere in the tree can move.)
 */
export function checkLinkTarget(target: string, depth: number, path: string): void {
  const parts = target.split('/');
  const climbs = parts.lastIndexOf('..') + 1;
  const leading = parts.slice(0, climbs).every((part) => part === '..' || part === '.' || part === '');
  const ups = parts.filter((part) => part === '..').length;
  if (target !== '' && !target.startsWith('/') && !target.includes('\0') && leading && ups <= depth && !windowsAbsolute(target))
    return;
  throw new HawserError(
    'link_escapes',
    `The link "${path}" points to "${target}", which may lie outside what is fetched, and was left out: fetch it with links followed instead.`,
    { value: path },
  );
}

/** True when it was made, false when just this link was there already. */
export function placeLink(
  place: { folder: LocalPath; name: string; path: LocalPath },
  target: string,
  mtimeNs: bigint | null,
): boolean {
  const bytes = Buffer.from(pathToBytes(target));
  try {
    const there = lstatSync(place.path, { throwIfNoEntry: false });
    if (there?.isSymbolicLink() && readlinkSync(place.path, { encoding: 'buffer' }).equals(bytes)) return false;
    if (there && !there.isSymbolicLink() && !there.isFile()) throw Object.assign(new Error('taken'), { code: 'EISDIR' });
    const { partial } = partialNames(place.folder, place.name);
    removeIfThere(partial);
    symlinkSync(bytes, partial);
    if (mtimeNs !== null) setLinkTimesExactly(partial, mtimeNs);
    renameSync(partial, place.path);
    return true;
  } catch (error) {
    throw localError(error, place.path, 'be made as a link');
  }
}

/** Of any kind but a folder. */
export function removeIfThere(path: LocalPath): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

function windowsAbsolute(target: string): boolean {
  return process.platform === 'win32' && /[\\:]/.test(target);
}

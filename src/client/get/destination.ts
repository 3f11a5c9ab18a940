/** Where each source goes, by the rules of cp. */
import { mkdirSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { HawserError } from '../../core/errors.ts';
import { baseName } from '../../core/path.ts';
import type { FileInfo } from '../../engine/contract.ts';
import type { NewName } from '../new-names.ts';
import { isErrno, localError } from './local-error.ts';

export interface Source {
  /** As the user named it, parsed. */
  readonly path: string;
  /** Of what is there, links followed. */
  readonly info: FileInfo;
}

export interface Target {
  readonly source: Source;
  /** An existing local folder, without links. */
  readonly trunk: string;
  /** Below the trunk: one name, or none when the server's root goes into the trunk itself. */
  readonly names: readonly string[];
}

/**
 * Into `destination` when it is a folder, ends with a slash (it is made then) or there are several sources; else it is the new
 * name of the one source, and stays so when an earlier get of it has made that folder.
 */
export function planTargets(sources: readonly Source[], destination: string, newName: NewName): Target[] {
  if (destination === '') throw new HawserError('usage', 'The destination is empty: name a local folder or file.');
  const intoFolder = sources.length > 1 || /[/\\]$/.test(nativeSlashes(destination));
  const isThere = isFolder(destination);
  if (!intoFolder && (!isThere || newName.begun)) {
    if (!isThere && sources[0]?.info.kind === 'folder') newName.begin();
    const path = resolve(destination);
    const trunk = existing(dirname(path));
    return sources.map((source) => ({ source, trunk, names: [basename(path)] }));
  }
  makeFolder(destination);
  const trunk = existing(resolve(destination));
  const taken = new Map<string, string>();
  return sources.map((source) => {
    const name = baseName(source.path);
    const other = taken.get(name);
    if (other !== undefined) {
      throw new HawserError('usage', `"${other}" and "${source.path}" would both become "${name}": fetch them one by one.`, {
        value: source.path,
      });
    }
    taken.set(name, source.path);
    return { source, trunk, names: name === '' ? [] : [name] };
  });
}

/** On Windows both slashes end a folder's name. */
function nativeSlashes(path: string): string {
  return process.platform === 'win32' ? path : path.replaceAll('\\', '_');
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return false;
    throw localError(error, path, 'be looked at');
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw localError(error, path, 'be made a folder');
  }
}

function existing(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw localError(error, path, 'be found');
  }
}

/** What is to be sent, and under which names it arrives: the rules of cp. */
import fs from 'node:fs';
import path from 'node:path';
import { HawserError } from '../../core/errors.ts';
import { baseName, joinPath, pathFromBytes, pathToBytes } from '../../core/path.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { type LocalPath, localFailure, showLocal } from './local.ts';
import { notAFile } from './walk.ts';

export interface Source {
  readonly local: LocalPath;
  /** Its last name; "" when its content is meant ("." and "/"). */
  readonly name: string;
  /** Of a source that is one file: what it is now. Null for folders, and for what could not be looked at. */
  readonly file: { readonly size: number; readonly mtimeNs: bigint } | null;
  readonly isFolder: boolean;
}

/** `local_not_found` or `local_io` when it is the only one; of several, those that are there are sent. */
export function readSource(given: string, isOnlyOne: boolean): Source {
  let local = toLocal(given);
  const name = nameOf(given);
  try {
    const stat = fs.statSync(local, { bigint: true });
    if (isOnlyOne && !stat.isFile() && !stat.isDirectory()) throw notAFile(local);
    // Given by name, a link means what it points to; below, links are kept, and opening one is refused.
    if (fs.lstatSync(local).isSymbolicLink()) local = followed(local);
    const file = stat.isFile() ? { size: Number(stat.size), mtimeNs: stat.mtimeNs } : null;
    return { local, name, file, isFolder: stat.isDirectory() };
  } catch (error) {
    if (isOnlyOne) throw localFailure(error, local);
    return { local, name, file: null, isFolder: false };
  }
}

/**
 * Where each source arrives: in the destination when that is a folder, or is to be one; else as it. `begunAsNewName`: the folder
 * there is what an earlier put of this source has made.
 */
export function targetsOf(
  sources: readonly Source[],
  destination: string,
  { intoFolder, there, begunAsNewName }: { intoFolder: boolean; there: FileInfo | null; begunAsNewName: boolean },
): string[] {
  const into = intoFolder || (there?.kind === 'folder' && !begunAsNewName);
  if (there && there.kind !== 'folder' && (into || sources.some((source) => source.isFolder))) {
    throw new HawserError('not_folder', `"${destination}" on the server is no folder: choose another destination.`, {
      value: destination,
    });
  }
  const targets = sources.map(({ name }) => (into && name !== '' ? joinPath(destination, name) : destination));
  const seen = new Set<string>();
  for (const target of targets) {
    if (seen.has(target)) {
      throw new HawserError('usage', `Two of the sources would both become "${target}": send them one after the other.`, {
        value: target,
      });
    }
    seen.add(target);
  }
  return targets;
}

export function absoluteSource({ local }: Source): string {
  return path.resolve(showLocal(local));
}

/** For the list of transfers. */
export function describeSources(sources: readonly { readonly local: LocalPath }[]): string {
  const shown = sources.slice(0, SHOWN_SOURCES).map(({ local }) => showLocal(local));
  const more = sources.length - shown.length;
  return (shown.join(', ') + (more > 0 ? ` and ${more} more` : '')).slice(0, LONGEST_DESCRIPTION);
}

function followed(link: LocalPath): LocalPath {
  return toLocal(pathFromBytes(fs.realpathSync(link, { encoding: 'buffer' })));
}

/** The name under which a source arrives in a folder. */
function nameOf(given: string): string {
  if (/(^|[/\\])\.[/\\]*$/.test(given)) return '';
  const resolved = path.resolve(given);
  return pathFromBytes(pathToBytes(baseName(resolved.split(path.sep).join('/'))));
}

/** Without the trailing slash, which for a link would mean what it points to; that is followed in any case. */
function toLocal(given: string): LocalPath {
  const plain = given.replace(/(?<=[^/\\])[/\\]+$/, '');
  return /[\ud800-\udfff]/u.test(plain) ? Buffer.from(pathToBytes(plain)) : plain;
}

const SHOWN_SOURCES = 3;
const LONGEST_DESCRIPTION = 1000;

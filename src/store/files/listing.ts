/** Listing folders, page by page, in the order of the path's names; only one folder's names a level are held. */

import { Buffer } from 'node:buffer';
import { lstat, readlink } from 'node:fs/promises';
import { baseName, RESERVED_NAME } from '../../core/path.ts';
import { type Border, isState, textOf } from './border.ts';
import type { Entry, ListOptions } from './contract.ts';
import { entryOf } from './entry.ts';
import { errnoOf, storeError, translated } from './errno.ts';
import { type Folder, openChildFolder, openFolder } from './folder.ts';
import { createFolderNames } from './folder-names.ts';
import { namesAfter } from './order.ts';

export type ListPath = (path: string, options: ListOptions) => Promise<{ entries: Entry[]; more: boolean }>;

export function createListing(border: Border): ListPath {
  const folderNames = createFolderNames();

  /** Entries below `path` in order, from after `after` (names below `path`; null for all). Looks at most `wanted` ahead. */
  async function* walk(
    folder: Folder,
    path: string,
    after: readonly string[] | null,
    recursive: boolean,
    wanted: number,
  ): AsyncGenerator<Entry, void, undefined> {
    const names = await folderNames.sorted(folder);
    const step = Math.min(LOOK_AHEAD, wanted);
    for (let at = after === null ? 0 : firstFrom(names, after[0]!); at < names.length; at += step) {
      const entries = await Promise.all(names.slice(at, at + step).map((name) => look(border, folder, path, name)));
      for (const [i, entry] of entries.entries()) {
        if (entry === null) continue;
        const isFirst = after !== null && names[at + i] === after[0];
        if (!isFirst) yield entry;
        if (!recursive || entry.kind !== 'folder') continue;
        const child = await enter(border, folder, entry.path);
        if (child === null) continue;
        try {
          yield* walk(child, entry.path, isFirst && after.length > 1 ? after.slice(1) : null, true, wanted);
        } finally {
          await child.close();
        }
      }
    }
  }

  return async (path, options) => {
    const after = namesAfter(path, options.after);
    if (after === 'nothing') return { entries: [], more: false };
    const folder = await translated(path, 'list', () => openFolder(border, path));
    try {
      const entries: Entry[] = [];
      for await (const entry of walk(folder, path, after, options.recursive === true, options.limit + 1)) {
        if (entries.length === options.limit) return { entries, more: true };
        entries.push(entry);
      }
      return { entries, more: false };
    } catch (error) {
      throw storeError(error, path, 'list');
    } finally {
      await folder.close();
    }
  };
}

/** Null for what is not served, and for what went away meanwhile. */
async function look(border: Border, folder: Folder, path: string, name: string): Promise<Entry | null> {
  const text = textOf(Buffer.from(name, 'latin1'));
  if (path === '/' && text === RESERVED_NAME) return null;
  const place = folder.child(text);
  try {
    const stats = await lstat(place, { bigint: true });
    if (isState(border, stats)) return null;
    const target = stats.isSymbolicLink() ? textOf(await readlink(place, { encoding: 'buffer' })) : undefined;
    return entryOf(path === '/' ? `/${text}` : `${path}/${text}`, stats, target);
  } catch (error) {
    if (['ENOENT', 'EINVAL'].includes(errnoOf(error))) return null;
    throw error;
  }
}

/** Null when it is no longer a folder. */
async function enter(border: Border, parent: Folder, path: string): Promise<Folder | null> {
  try {
    return await openChildFolder(border, parent, baseName(path), path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error))) return null;
    throw storeError(error, path, 'list');
  }
}

/** Index of the first name that is not before `name`. */
function firstFrom(names: readonly string[], name: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (names[middle]! < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Names that are looked at side by side: enough to keep the four threads of the pool busy. */
const LOOK_AHEAD = 32;

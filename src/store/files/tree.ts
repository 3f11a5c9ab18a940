/** Changing names: folders made, entries moved. */
import { constants, type PathLike } from 'node:fs';
import { lstat, mkdir, open, rename } from 'node:fs/promises';
import { baseName, isWithin, parentPath } from '../../core/path.ts';
import type { BatchPool } from './batch-pool.ts';
import { assertNotState, type Border, childReal, depthOf } from './border.ts';
import type { Attributes, Entry, Overwrite } from './contract.ts';
import { DEFAULT_FOLDER_MODE, entryOf } from './entry.ts';
import { errnoOf, storeError, translated } from './errno.ts';
import { type Folder, openFolder, openOrMakeFolder } from './folder.ts';
import { setTimesExactly } from './native.ts';
import { statIn } from './reading.ts';
import { assertLinkStays, movesIntoItself, parentForEntry, reserved, rootStays } from './refusals.ts';
import { assertMayReplace } from './staging.ts';

export function makeFolder(border: Border, path: string, attributes: Attributes): Promise<Entry> {
  return translated(path, 'write', async () => {
    const parent = await openOrMakeFolder(border, parentPath(path));
    try {
      const place = path === '/' ? parent.self : parent.child(baseName(path));
      const made = path !== '/' && (await makeUnlessThere(place, attributes.mode ?? DEFAULT_FOLDER_MODE));
      if (path !== '/') assertNotState(border, await lstat(place, { bigint: true }), path);
      const noFollow = path === '/' ? 0 : constants.O_NOFOLLOW;
      const handle = await open(place, constants.O_RDONLY | constants.O_DIRECTORY | noFollow);
      try {
        if (attributes.mode !== undefined) await handle.chmod(attributes.mode & 0o777);
        if (attributes.mtimeNs !== undefined) setTimesExactly(handle.fd, attributes.mtimeNs);
        await handle.sync();
        if (made) await parent.sync();
        return entryOf(path, await handle.stat({ bigint: true }))!;
      } finally {
        await handle.close();
      }
    } finally {
      await parent.close();
    }
  });
}

export async function moveEntry(border: Border, pool: BatchPool, from: string, to: string, overwrite: Overwrite): Promise<Entry> {
  if (from === '/') throw rootStays();
  if (from !== to && isWithin(to, from)) throw movesIntoItself(from, to);
  return translated(from, 'write', async () => {
    const source = await openFolder(border, parentPath(from)).catch((error: unknown) => {
      throw storeError(error, from, 'read');
    });
    try {
      const entry = await statIn(border, source, from);
      assertStateStays(border, source, from);
      const target = await translated(to, 'write', () => openOrMakeFolder(border, parentForEntry(to)));
      try {
        if (isWithin(target.real, childReal(source.real, baseName(from)))) throw movesIntoItself(from, to);
        if (entry.target !== undefined) assertLinkStays(depthOf(border, target.real), to, entry.target);
        const [here, there] = [source.child(baseName(from)), target.child(baseName(to))];
        await translated(to, 'write', () => moveBetween(pool, here, there, to, entry, overwrite));
        await target.sync();
        if (source.real !== target.real) await source.sync();
        return await statIn(border, target, to);
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  });
}

/** The state folder may lie anywhere in the root: what holds it stays where it is. */
export function assertStateStays(border: Border, folder: Folder, path: string): void {
  if (isWithin(border.state, childReal(folder.real, baseName(path)))) throw reserved(path);
}

/** True when it was made; false when a folder was there. */
async function makeUnlessThere(place: PathLike, mode: number): Promise<boolean> {
  try {
    await mkdir(place, mode & 0o777);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

async function moveBetween(
  pool: BatchPool,
  from: PathLike,
  to: PathLike,
  path: string,
  entry: Entry,
  overwrite: Overwrite,
): Promise<void> {
  await assertMayReplace(to, path, overwrite, entry.mtimeNs);
  if (overwrite !== 'never' && entry.kind !== 'folder') return rename(from, to);
  // A folder never replaces anything, though rename(2) would let it replace an empty one.
  if (await pool.renameWithoutReplacing(from, to)) return;
  await assertMayReplace(to, path, 'never', entry.mtimeNs);
  await rename(from, to);
}

/** Removing what is published. A tree goes to the trash in the state folder first, so that it is gone in one step. */
import { randomUUID } from 'node:crypto';
import { constants, type PathLike } from 'node:fs';
import { chmod, open, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { baseName, parentPath } from '../../core/path.ts';
import type { Border } from './border.ts';
import { errnoOf, storeError, translated } from './errno.ts';
import { openFolder } from './folder.ts';
import { statIn } from './reading.ts';
import { rootStays } from './refusals.ts';
import { assertStateStays } from './tree.ts';

export async function removeEntry(border: Border, trash: string, path: string, recursive: boolean): Promise<void> {
  if (path === '/') throw rootStays();
  await translated(path, 'write', async () => {
    const parent = await openFolder(border, parentPath(path)).catch((error: unknown) => {
      throw storeError(error, path, 'read');
    });
    try {
      const { kind } = await statIn(border, parent, path);
      assertStateStays(border, parent, path);
      const place = parent.child(baseName(path));
      if (kind !== 'folder') await unlink(place);
      const doomed = kind === 'folder' ? await takeFolder(place, path, trash, recursive) : null;
      await parent.sync();
      if (doomed !== null) await removeTree(doomed);
    } finally {
      await parent.close();
    }
  });
}

/** Removes everything in `trash`; what cannot be removed now stays until the next time. */
export async function emptyTrash(trash: string): Promise<void> {
  for (const name of await readdir(trash)) await removeTree(join(trash, name)).catch(() => undefined);
}

/** Removes an empty folder, or moves one with content into the trash and returns where it is now. */
async function takeFolder(place: PathLike, path: string, trash: string, recursive: boolean): Promise<string | null> {
  try {
    await rmdir(place);
    return null;
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error))) throw error;
    if (!recursive) throw storeError({ code: 'ENOTEMPTY' }, path, 'write');
  }
  const doomed = join(trash, randomUUID());
  try {
    await rename(place, doomed);
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    // Moving a folder changes its "..", for which it has to be writable itself.
    const handle = await open(place, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    await handle.chmod(0o700).finally(() => handle.close());
    await rename(place, doomed);
  }
  return doomed;
}

/** Removes a tree that nobody else can reach, also where folders in it are write-protected. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) === 'ENAMETOOLONG') return await removeLevelByLevel(path);
    if (!['EACCES', 'EPERM'].includes(errnoOf(error))) throw error;
    await unlock(Buffer.from(path));
    await rm(path, { recursive: true, force: true });
  }
}

/** Deeper than a path can be long, which it may be in the trash alone: each folder in it goes beside it first. */
async function removeLevelByLevel(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true, encoding: 'buffer' })) {
    if (!entry.isDirectory()) continue;
    const lifted = join(dirname(path), randomUUID());
    await rename(Buffer.concat([Buffer.from(`${path}/`), entry.name]), lifted);
    await removeTree(lifted);
  }
  await rm(path, { recursive: true, force: true });
}

async function unlock(folder: Buffer): Promise<void> {
  await chmod(folder, 0o700);
  for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'buffer' })) {
    if (entry.isDirectory()) await unlock(Buffer.concat([folder, Buffer.from('/'), entry.name]));
  }
}

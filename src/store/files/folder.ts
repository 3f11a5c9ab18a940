/**
 * An open folder inside the border. Everything that is done to a name is done through one: first the folder is opened, then
 * it is checked where it really is, then the name is used relative to the open folder. A link that is swapped in meanwhile
 * changes nothing any more (on Linux; see Border.anchored).
 */
import { constants, type PathLike } from 'node:fs';
import { type FileHandle, mkdir, open, readlink, realpath } from 'node:fs/promises';
import { baseName, parentPath } from '../../core/path.ts';
import { assertServed, type Border, namesIn, O_PATH, systemPath } from './border.ts';
import { DEFAULT_FOLDER_MODE } from './entry.ts';
import { errnoOf } from './errno.ts';
import { leadsNowhere } from './refusals.ts';

export interface Folder {
  readonly handle: FileHandle;
  /** Where it really is, as byte text. */
  readonly real: string;
  /** The folder as the operating system takes it. */
  readonly self: PathLike;
  /** A name in it, for calls that do not follow links in the last place. */
  child(name: string): PathLike;
  /** Names that were put into it or taken out of it survive a crash once this returns. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a folder that is there. Throws as `fs` does, like all here: the caller knows what it was for. */
export function openFolder(border: Border, path: string): Promise<Folder> {
  return openAt(border, systemPath(border, path), path, 0);
}

/** Opens a folder to put something into it; it and its parents are made when missing, and are then durable. */
export async function openOrMakeFolder(border: Border, path: string): Promise<Folder> {
  try {
    return await openFolder(border, path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || path === '/') throw error;
  }
  const parent = await openOrMakeFolder(border, parentPath(path));
  try {
    const place = parent.child(baseName(path));
    await makeDurably(parent, place);
    return await openAt(border, place, path, 0);
  } catch (error) {
    throw errnoOf(error) === 'ENOENT' ? leadsNowhere(path) : error;
  } finally {
    await parent.close();
  }
}

async function makeDurably(parent: Folder, place: PathLike): Promise<void> {
  try {
    await mkdir(place, DEFAULT_FOLDER_MODE);
    await parent.sync();
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** Opens a folder inside an open one; a link there is refused (ELOOP or ENOTDIR). */
export function openChildFolder(border: Border, parent: Folder, name: string, path: string): Promise<Folder> {
  return openAt(border, parent.child(name), path, constants.O_NOFOLLOW);
}

/** Opens what a link leads to, without touching it (no FIFO waits, no device wakes up), when it is inside the border. */
export async function openFollowed(border: Border, path: string): Promise<{ handle: FileHandle; self: PathLike }> {
  if (border.anchored) {
    const handle = await open(systemPath(border, path), O_PATH);
    try {
      const self = `/proc/self/fd/${handle.fd}`;
      assertServed(border, (await readlink(self, { encoding: 'buffer' })).toString('latin1'), path);
      return { handle, self };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
  const real = await realpath(systemPath(border, path), { encoding: 'buffer' });
  assertServed(border, real.toString('latin1'), path);
  return { handle: await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK), self: real };
}

async function openAt(border: Border, at: PathLike, path: string, flags: number): Promise<Folder> {
  const handle = await open(at, constants.O_RDONLY | constants.O_DIRECTORY | flags);
  try {
    const real = (await (border.anchored ? readlink(`/proc/self/fd/${handle.fd}`, LATIN) : realpath(at, LATIN))) as string;
    assertServed(border, real, path);
    return {
      handle,
      real,
      ...namesIn(border, handle.fd, real),
      sync: () => syncFolder(handle),
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Some file systems cannot sync folders and say so; those order their names themselves. */
async function syncFolder(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EISDIR'].includes(errnoOf(error))) throw error;
  }
}

const LATIN = { encoding: 'latin1' } as const;

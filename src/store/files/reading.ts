/** Looking at published files: one entry, or one file opened for reading. */
import { constants, type PathLike } from 'node:fs';
import { type FileHandle, lstat, open, readlink } from 'node:fs/promises';
import { baseName, parentPath } from '../../core/path.ts';
import { assertNotState, type Border, textOf } from './border.ts';
import type { Entry, ReadFile } from './contract.ts';
import { entryOf } from './entry.ts';
import { storeError, translated } from './errno.ts';
import { type Folder, openFolder, openFollowed } from './folder.ts';

export async function statPath(border: Border, path: string, follow: boolean): Promise<Entry> {
  return translated(path, 'read', async () => {
    const folder = await openFolder(border, parentPath(path));
    try {
      const entry = await statIn(border, folder, path);
      if (entry.kind !== 'link' || !follow) return entry;
    } finally {
      await folder.close();
    }
    const { handle } = await openFollowed(border, path);
    try {
      return found(entryOf(path, await handle.stat({ bigint: true })), path);
    } finally {
      await handle.close();
    }
  });
}

/** The entry at `path`, whose parent is open as `folder`; a link is not followed. For "/" the folder itself. */
export async function statIn(border: Border, folder: Folder, path: string): Promise<Entry> {
  if (path === '/') return entryOf(path, await folder.handle.stat({ bigint: true }))!;
  const place = folder.child(baseName(path));
  const stats = await lstat(place, { bigint: true });
  assertNotState(border, stats, path);
  const target = stats.isSymbolicLink() ? textOf(await readlink(place, { encoding: 'buffer' })) : undefined;
  return found(entryOf(path, stats, target), path);
}

export async function openForReading(border: Border, path: string): Promise<ReadFile> {
  return translated(path, 'read', async () => {
    const { handle, entry } = await openRegular(border, path);
    return {
      entry,
      read: (position, into) => translated(path, 'read', () => readFully(handle, position, into)),
      close: () => handle.close(),
    };
  });
}

/** Opens a file, following links inside the root. `self` is a path to exactly this file where the system has such paths. */
export async function openRegular(border: Border, path: string): Promise<{ handle: FileHandle; self: PathLike; entry: Entry }> {
  const folder = await openFolder(border, parentPath(path));
  let at: PathLike;
  let followed: FileHandle | null = null;
  try {
    const entry = await statIn(border, folder, path);
    if (entry.kind === 'folder') throw storeError({ code: 'EISDIR' }, path, 'read');
    at = folder.child(baseName(path));
    if (entry.kind === 'link') {
      const target = await openFollowed(border, path);
      followed = target.handle;
      at = target.self;
      const kind = found(entryOf(path, await followed.stat({ bigint: true })), path).kind;
      if (kind === 'folder') throw storeError({ code: 'EISDIR' }, path, 'read');
    }
    // A path under /proc/self/fd is itself a link, to what has been checked already.
    const noFollow = followed !== null && border.anchored ? 0 : constants.O_NOFOLLOW;
    const handle = await open(at, constants.O_RDONLY | constants.O_NONBLOCK | noFollow);
    try {
      const opened = entryOf(path, await handle.stat({ bigint: true }));
      if (opened?.kind !== 'file') throw storeError({ code: 'ENOENT' }, path, 'read');
      return { handle, self: border.anchored ? `/proc/self/fd/${handle.fd}` : at, entry: opened };
    } catch (error) {
      await handle.close();
      throw error;
    }
  } finally {
    await followed?.close();
    await folder.close();
  }
}

/** Reads until `into` is full or the file ends; returns how many bytes were read. */
export async function readFully(handle: FileHandle, position: number, into: Uint8Array): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

function found(entry: Entry | null, path: string): Entry {
  if (entry === null) throw storeError({ code: 'ENOENT' }, path, 'read');
  return entry;
}

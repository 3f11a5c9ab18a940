/** Files that are being received: one sparse file each in the staging folder, renamed into place when it is whole. */
import { constants, type PathLike } from 'node:fs';
import { chmod, copyFile, type FileHandle, link, lstat, open, readdir, rename, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HawserError } from '../../core/errors.ts';
import { baseName } from '../../core/path.ts';
import type { Border } from './border.ts';
import type { Entry, Overwrite, PublishOptions, StagingFile } from './contract.ts';
import { DEFAULT_FILE_MODE, entryOf } from './entry.ts';
import { errnoOf, storeError, translated } from './errno.ts';
import { openOrMakeFolder } from './folder.ts';
import { setTimesExactly } from './native.ts';
import { openRegular, readFully } from './reading.ts';
import { assertSize, assertStagingId, notNewer, parentForEntry } from './refusals.ts';
import { createWriter } from './writing.ts';

export interface Staging {
  create(id: string, size: number | null): Promise<StagingFile>;
  open(id: string): Promise<StagingFile>;
  remove(id: string): Promise<void>;
  list(): Promise<string[]>;
  copy(path: string, id: string): Promise<StagingFile>;
}

/** `folder` is the staging folder, on the same file system as the served one. */
export function createStagingArea(border: Border, folder: string): Staging {
  const fileOf = (id: string): string => {
    assertStagingId(id);
    return join(folder, id + SUFFIX);
  };

  return {
    async create(id, size) {
      const file = fileOf(id);
      if (size !== null) await assertRoom(folder, id, size);
      return translated(id, 'write', async () => {
        const handle = await open(file, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, PRIVATE_MODE);
        try {
          if (size !== null) await handle.truncate(size);
        } catch (error) {
          await handle.close();
          await unlink(file);
          throw error;
        }
        return stagingFile(border, id, file, handle, () => syncNames(folder));
      });
    },

    async open(id) {
      const file = fileOf(id);
      return translated(id, 'write', async () => {
        const handle = await openWritable(file);
        const { nlink } = await handle.stat().catch(async (error: unknown) => {
          await handle.close();
          throw error;
        });
        if (nlink > 1) {
          // A crash between the two steps of a publish that may not replace: it is published, only this name is left over.
          await handle.close();
          await unlink(file);
          throw new HawserError('not_found', `The staging file ${id} has already been published.`, { value: id });
        }
        return stagingFile(border, id, file, handle);
      });
    },

    async remove(id) {
      const file = fileOf(id);
      await translated(id, 'write', () => unlinkIfThere(file));
    },

    async list() {
      const names = await translated('staging', 'read', () => readdir(folder));
      const ids = names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length));
      return ids.sort();
    },

    async copy(path, id) {
      const file = fileOf(id);
      const source = await translated(path, 'read', () => openRegular(border, path));
      try {
        return await translated(path, 'write', async () => {
          await copyFile(source.self, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
          await chmod(file, PRIVATE_MODE);
          return stagingFile(border, id, file, await openWritable(file), () => syncNames(folder));
        });
      } finally {
        await source.handle.close();
      }
    },
  };
}

/** `syncName` makes the name of a new file durable; a file that was opened has been through that. */
function stagingFile(border: Border, id: string, file: string, handle: FileHandle, syncName?: () => Promise<void>): StagingFile {
  let unsyncedName = syncName;
  const write = createWriter(handle);
  return {
    id,
    write: (position, bytes) => translated(id, 'write', () => write(position, bytes)),
    read: (position, into) => translated(id, 'read', () => readFully(handle, position, into)),
    sync: () =>
      translated(id, 'write', async () => {
        await handle.datasync();
        await unsyncedName?.();
        unsyncedName = undefined;
      }),
    publish: (path, size, options) => translated(path, 'write', () => publish(border, file, handle, path, size, options)),
    close: () => handle.close(),
  };
}

async function syncNames(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync().finally(() => handle.close());
}

async function publish(
  border: Border,
  file: string,
  handle: FileHandle,
  path: string,
  size: number,
  options: PublishOptions,
): Promise<Entry> {
  const overwrite = options.overwrite ?? 'always';
  const mtimeNs = options.mtimeNs ?? BigInt(Date.now()) * 1_000_000n;
  const folder = await openOrMakeFolder(border, parentForEntry(path));
  try {
    const place = folder.child(baseName(path));
    await assertMayReplace(place, path, overwrite, mtimeNs);
    await handle.truncate(size);
    await handle.chmod((options.mode ?? DEFAULT_FILE_MODE) & 0o777);
    setTimesExactly(handle.fd, mtimeNs);
    await handle.sync();
    try {
      await putInPlace(file, place, overwrite);
    } catch (error) {
      await handle.chmod(PRIVATE_MODE);
      throw error;
    }
    try {
      await folder.sync();
      return entryOf(path, await handle.stat({ bigint: true }))!;
    } finally {
      // The name is taken: whatever fails now, nothing may be written through this handle any more.
      await handle.close();
    }
  } finally {
    await folder.close();
  }
}

/** Throws `is_folder`, `exists` or `not_newer` for what is in the place now. */
export async function assertMayReplace(place: PathLike, path: string, overwrite: Overwrite, mtimeNs: bigint): Promise<void> {
  const there = await lstat(place, { bigint: true }).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  });
  if (there === null) return;
  if (there.isDirectory()) throw storeError({ code: 'EISDIR' }, path, 'write');
  if (overwrite === 'never') throw storeError({ code: 'EEXIST' }, path, 'write');
  if (overwrite === 'newer' && mtimeNs <= there.mtimeNs) throw notNewer(path);
}

/** The free space is only checked, not taken: a sparse file costs nothing until its blocks arrive. */
async function assertRoom(folder: string, id: string, size: number): Promise<void> {
  assertSize(size);
  const { bavail, bsize } = await translated(id, 'write', () => statfs(folder));
  const freeBytes = bavail * bsize;
  if (size <= freeBytes) return;
  throw new HawserError(
    'no_space',
    `The file has ${size} bytes and the disk has ${freeBytes} bytes free: free some space on the server.`,
    {
      value: size,
    },
  );
}

async function putInPlace(file: string, place: PathLike, overwrite: Overwrite): Promise<void> {
  if (overwrite !== 'never') return rename(file, place);
  try {
    // link(2) never replaces, on any system.
    await link(file, place);
  } catch (error) {
    if (!NO_HARD_LINKS.includes(errnoOf(error))) throw error;
    return rename(file, place);
  }
  // It is in place: a second name in staging is cleared away later, and is no reason to say that it failed.
  await unlink(file).catch(() => undefined);
}

/** A crash may have left it with the mode it was going to be published with. */
async function openWritable(file: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  try {
    return await open(file, flags);
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    await chmod(file, PRIVATE_MODE);
    return open(file, flags);
  }
}

async function unlinkIfThere(file: string): Promise<void> {
  try {
    await unlink(file);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

const SUFFIX = '.part';
const PRIVATE_MODE = 0o600;
/** What link(2) says on file systems without hard links (FAT, some network ones). */
const NO_HARD_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

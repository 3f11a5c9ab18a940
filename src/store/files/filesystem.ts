/** A folder on disk as a FileStore: what is published are plain files in it, what is being received lies in the state folder. */

import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir, readdir, rename, statfs, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { HawserError } from '../../core/errors.ts';
import { RESERVED_NAME } from '../../core/path.ts';
import { createBatchPool } from './batch-pool.ts';
import { BATCH_SUFFIX } from './batch-put.ts';
import { borderOf } from './border.ts';
import type { FileStore } from './contract.ts';
import { errnoOf, storeError, translated } from './errno.ts';
import { createListing } from './listing.ts';
import { openForReading, statPath } from './reading.ts';
import { emptyTrash, removeEntry } from './removing.ts';
import { createStagingArea } from './staging.ts';
import { makeFolder, moveEntry } from './tree.ts';

export interface FileSystemStoreOptions {
  /** The folder that is served; it has to be there. */
  readonly root: string;
  /** Hawser's own folder, made when missing (mode 0700). Default `root`/.hawser. It has to lie on the root's file system. */
  readonly state?: string;
}

export interface FileSystemStore extends FileStore {
  /** Starts the threads for small files, for which the first of them would wait else. */
  startThreads(): void;
}

/**
 * Opens a folder as a store. One process at a time may use a state folder: leftovers of an earlier one are removed here.
 *
 * Throws `not_found` or `not_folder` for the root, `read_only` and `no_space` for the state folder, and `request_invalid` when
 * the two lie on different file systems, because nothing could be published in one step then.
 *
 * @example
 * const store = await openFileSystemStore({ root: '/srv/files' });
 */
export async function openFileSystemStore(options: FileSystemStoreOptions): Promise<FileSystemStore> {
  const root = resolve(options.root);
  const state = resolve(options.state ?? join(root, RESERVED_NAME));
  const staging = join(state, 'staging');
  const trash = join(state, 'trash');
  assertFolder(root);
  await translated(state, 'write', async () => {
    for (const folder of [state, staging, trash]) await mkdir(folder, { recursive: true, mode: 0o700 });
  });
  await assertSameFileSystem(root, staging);
  const border = borderOf(root, state);
  await translated(state, 'write', () => removeLeftovers(staging, trash));

  const area = createStagingArea(border, staging);
  const pool = createBatchPool({ border, staging });
  return {
    createStaging: area.create,
    openStaging: area.open,
    removeStaging: area.remove,
    listStaging: area.list,
    copyToStaging: area.copy,
    startThreads: pool.start,
    putMany: pool.putMany,
    getMany: pool.getMany,
    stat: (path, { follow = false } = {}) => statPath(border, path, follow),
    list: createListing(border),
    openRead: (path) => openForReading(border, path),
    makeFolder: (path, attributes = {}) => makeFolder(border, path, attributes),
    move: (from, to, overwrite = 'never') => moveEntry(border, pool, from, to, overwrite),
    remove: (path, { recursive = false } = {}) => removeEntry(border, trash, path, recursive),
    async freeBytes() {
      const { bavail, bsize } = await translated('/', 'read', () => statfs(root));
      return bavail * bsize;
    },
    close: pool.close,
  };
}

function assertFolder(root: string): void {
  try {
    if (!statSync(root).isDirectory()) throw Object.assign(new Error(), { code: 'ENOTDIR' });
  } catch (error) {
    throw storeError(error, root, 'list');
  }
}

/** Equal device numbers are not enough (bind mounts): a rename of nothing says ENOENT only when one of something could work. */
async function assertSameFileSystem(root: string, staging: string): Promise<void> {
  const nothing = randomUUID();
  const errno = await rename(join(staging, nothing), join(root, nothing)).then(() => '', errnoOf);
  if (statSync(root).dev === statSync(staging).dev && errno !== 'EXDEV') return;
  throw new HawserError(
    'request_invalid',
    `The state folder ${JSON.stringify(staging)} lies on another file system than ${JSON.stringify(root)}, so files could not be published in one step: choose a state folder on the same one.`,
    { value: staging },
  );
}

/** What only a process that was killed can have left behind, and nobody can ask for. */
async function removeLeftovers(staging: string, trash: string): Promise<void> {
  for (const name of await readdir(staging)) {
    if (name.endsWith(BATCH_SUFFIX)) await unlink(join(staging, name));
  }
  await emptyTrash(trash);
}

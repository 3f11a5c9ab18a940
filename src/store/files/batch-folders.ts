/** The folders that one batch touches, kept open for its length (worker thread only, so all calls are synchronous). */
import { closeSync, constants, fsyncSync, mkdirSync, openSync, type PathLike, readlinkSync, realpathSync } from 'node:fs';
import { baseName, parentPath } from '../../core/path.ts';
import { assertServed, type Border, namesIn, systemPath } from './border.ts';
import { DEFAULT_FOLDER_MODE } from './entry.ts';
import { errnoOf } from './errno.ts';
import { canSyncFileSystem, syncFileSystem } from './native.ts';
import { leadsNowhere } from './refusals.ts';

export interface BatchFolder {
  readonly fd: number;
  readonly real: string;
  readonly self: PathLike;
  child(name: string): PathLike;
}

/** The counterpart of folder.ts: the same checks, once for each folder of the batch. */
export class BatchFolders {
  readonly #border: Border;
  readonly #open = new Map<string, BatchFolder>();
  /** Folders in which names have changed since they were last synced. */
  readonly #touched = new Set<string>();
  #syncAll = false;

  constructor(border: Border) {
    this.#border = border;
  }

  get(path: string, make: boolean): BatchFolder {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    if (this.#open.size >= MAX_OPEN) this.#release();
    const folder = this.#find(path, make);
    this.#open.set(path, folder);
    return folder;
  }

  /** Names in the folder have changed; `sync` makes that durable. */
  touch(path: string): void {
    this.#touched.add(path);
  }

  /** Forgets what is open, for when a folder turns out to have been removed meanwhile. */
  drop(path: string): void {
    const folder = this.#open.get(path);
    if (folder === undefined) return;
    this.#open.delete(path);
    this.#touched.delete(path);
    closeSync(folder.fd);
  }

  /** Makes all changes of names durable: each folder on its own, or all at once when there are many. */
  sync(): void {
    if (this.#syncAll || this.#touched.size > GROUP_SYNC_FROM) {
      const synced = this.#syncFileSystem();
      if (!synced && this.#syncAll) throw new Error('The file system could not be synced.');
      this.#syncAll = false;
      if (synced) this.#touched.clear();
    }
    for (const path of this.#touched) {
      const folder = this.#open.get(path);
      if (folder !== undefined) syncFolder(folder.fd);
    }
    this.#touched.clear();
  }

  close(): void {
    for (const folder of this.#open.values()) closeSync(folder.fd);
    this.#open.clear();
  }

  /** Descriptors are bounded: a batch may touch as many folders as it has files. */
  #release(): void {
    if (canSyncFileSystem() && this.#touched.size > 0) this.#syncAll = true;
    else this.sync();
    this.#touched.clear();
    this.close();
  }

  #syncFileSystem(): boolean {
    const fd = openSync(systemPath(this.#border, '/'), constants.O_RDONLY);
    try {
      return syncFileSystem(fd);
    } finally {
      closeSync(fd);
    }
  }

  #find(path: string, make: boolean): BatchFolder {
    try {
      return this.#openAt(systemPath(this.#border, path), path);
    } catch (error) {
      if (!make || errnoOf(error) !== 'ENOENT' || path === '/') throw error;
    }
    const place = this.get(parentPath(path), true).child(baseName(path));
    try {
      mkdirSync(place, DEFAULT_FOLDER_MODE);
      this.touch(parentPath(path));
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    try {
      return this.#openAt(place, path);
    } catch (error) {
      throw errnoOf(error) === 'ENOENT' ? leadsNowhere(path) : error;
    }
  }

  #openAt(at: PathLike, path: string): BatchFolder {
    const fd = openSync(at, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const latin = { encoding: 'latin1' } as const;
      const real = this.#border.anchored ? readlinkSync(`/proc/self/fd/${fd}`, latin) : realpathSync.native(at, latin);
      assertServed(this.#border, real, path);
      return { fd, real, ...namesIn(this.#border, fd, real) };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

function syncFolder(fd: number): void {
  try {
    fsyncSync(fd);
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EISDIR'].includes(errnoOf(error))) throw error;
  }
}

const MAX_OPEN = 256;
/** From so many files or folders on, one sync of the file system is cheaper than one for each. */
export const GROUP_SYNC_FROM = 8;

/**
 * Small files between their arrival and their place: each is written under its partial name, then all are synced at once, and only
 * then renamed. A rename may reach the disk before the content that it names, and a power cut would leave an empty file where a
 * good one stood.
 */
import { type BigIntStats, closeSync, constants, fstatSync, fsync, fsyncSync, openSync, writeSync } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { syncFileSystem } from '../../store/files/native.ts';
import { type Attributes, lookAt, setFileAttributes } from './attributes.ts';
import type { FetchItem } from './large.ts';
import { removeIfThere } from './link.ts';
import { isErrno, localError } from './local-error.ts';
import { type LocalPath, type PartialNames, partialNames, showLocal } from './local-path.ts';
import { putInPlace } from './put-in-place.ts';
import { removeSidecar } from './sidecar.ts';

/** A whole and verified file under its partial name. */
export interface Staged {
  readonly item: FetchItem;
  readonly bytes: number;
  /** Hex; null when nobody wants to know. */
  readonly digest: string | null;
  readonly partial: LocalPath;
  readonly stats: BigIntStats;
  /** Already, because its mode keeps it from being opened again. */
  readonly synced: boolean;
}

/** Writes the content beside its place. `attributes` null: what a new file gets by itself. Nothing is left of what fails. */
export function stage(item: FetchItem, content: Uint8Array, digest: string | null, attributes: Attributes | null): Staged {
  const names = partialNames(item.place.folder, item.place.name);
  let made = false;
  try {
    const fd = openNew(names, attributes ? 0o600 : 0o666);
    made = true;
    try {
      for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at);
      if (attributes) setFileAttributes(fd, attributes);
      const synced = attributes !== null && (attributes.mode & MODE_TO_SYNC) === 0;
      if (synced) fsyncSync(fd);
      return { item, bytes: content.length, digest, partial: names.partial, stats: fstatSync(fd, { bigint: true }), synced };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (made) removeIfThere(names.partial);
    throw localError(error, item.place.path, 'be written');
  }
}

/** Syncs what was staged and renames it; says of each file whether it is in its place. Never rejects. */
export async function place(
  files: readonly Staged[],
  onSettled: (file: Staged, error: unknown) => void,
  syncWhole: (fd: number) => boolean = syncFileSystem,
): Promise<void> {
  const unsynced = await sync(files, syncWhole);
  for (const file of files) {
    let failure: unknown = unsynced.get(file) ?? null;
    try {
      if (failure === null) placeOne(file);
    } catch (error) {
      failure = error;
    }
    if (failure !== null) discard(file);
    onSettled(file, failure);
  }
}

function placeOne(file: Staged): void {
  const { path } = file.item.place;
  if (!isStillThere(file)) {
    const shown = showLocal(path);
    throw new HawserError('local_io', `Something else writes to "${shown}" too: let it end, then run the same command again.`, {
      value: shown,
    });
  }
  putInPlace(file.partial, path);
}

/** Another get of the same file, or of one whose name this file system takes for the same, may have put its own there. */
function isStillThere({ partial, stats }: Staged): boolean {
  const there = lookAt(partial);
  // Numbers are given again at once, so the time that it was made counts too, where there is one.
  return there !== null && there.ino === stats.ino && there.birthtimeNs === stats.birthtimeNs;
}

/** Nothing of a small file is worth keeping. */
function discard(file: Staged): void {
  try {
    if (isStillThere(file)) removeIfThere(file.partial);
  } catch {
    // What kept it from its place is reported.
  }
}

function openNew(names: PartialNames, mode: number): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
  try {
    return openSync(names.partial, flags, mode);
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
    removeIfThere(names.partial);
    removeSidecar(names);
    return openSync(names.partial, flags, mode);
  }
}

/** Returns the files that could not be synced, and why. */
async function sync(files: readonly Staged[], syncWhole: (fd: number) => boolean): Promise<Map<Staged, unknown>> {
  const failures = new Map<Staged, unknown>();
  const open = files.filter((file) => !file.synced);
  const left = open.length > GROUP_SYNC_FROM ? syncTogether(open, syncWhole) : open;
  const next = async () => {
    for (let file = left.pop(); file; file = left.pop()) {
      try {
        await syncOne(file.partial);
      } catch (error) {
        failures.set(file, localError(error, file.item.place.path, 'be written'));
      }
    }
  };
  await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, next));
  return failures;
}

/** Returns those that have to be synced one by one. */
function syncTogether(files: readonly Staged[], syncWhole: (fd: number) => boolean): Staged[] {
  const synced = new Map<bigint, boolean>();
  for (const { partial, stats } of files) {
    // A folder may have another file system mounted on it.
    if (synced.has(stats.dev)) continue;
    try {
      const fd = openToSync(partial);
      try {
        synced.set(stats.dev, syncWhole(fd));
      } finally {
        closeSync(fd);
      }
    } catch {
      // The next file of this file system may be opened.
    }
  }
  return files.filter((file) => !synced.get(file.stats.dev));
}

async function syncOne(path: LocalPath): Promise<void> {
  const fd = openToSync(path);
  try {
    await new Promise<void>((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())));
  } finally {
    closeSync(fd);
  }
}

function openToSync(path: LocalPath): number {
  return openSync(path, OPEN_TO_SYNC | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
}

/** Windows syncs only what is open for writing. */
const ON_WINDOWS = process.platform === 'win32';
const OPEN_TO_SYNC = ON_WINDOWS ? constants.O_RDWR : constants.O_RDONLY;
const MODE_TO_SYNC = ON_WINDOWS ? 0o200 : 0o400;
/** Up to so many are synced by themselves: others may have gigabytes unwritten on the same file system. */
const GROUP_SYNC_FROM = 8;
const SYNCS_AT_ONCE = 16;
